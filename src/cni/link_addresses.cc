// SPDX-License-Identifier: Apache-2.0
// Addresses and routes.
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.h"
#include "cni/links.h"

namespace berth::cni {

namespace {

namespace netlink = os::netlink;
using netlink::ForEachAttribute;
using netlink::Message;
using netlink::ReadFixed;

constexpr uint32_t kNoDad = 0x02;  // IFA_F_NODAD

uint8_t Family(bool v6) { return v6 ? AF_INET6 : AF_INET; }

std::optional<IpAddress> ToAddress(uint8_t family, std::string_view bytes) {
  IpAddress address{family == AF_INET6, {}};
  if (bytes.size() != address.Bytes().size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return address;
}

}  // namespace

Result<> Links::ChangeAddress(uint16_t type, uint16_t flags, int link, const IpPrefix& address,
                              uint32_t ifa_flags) {
  Message message(type, static_cast<uint16_t>(NLM_F_ACK | flags));
  ifaddrmsg info{};
  info.ifa_family = Family(address.address.v6);
  info.ifa_prefixlen = static_cast<uint8_t>(address.length);
  info.ifa_flags = static_cast<uint8_t>(ifa_flags);
  info.ifa_index = static_cast<uint32_t>(link);
  message.Fixed(info);
  message.Attribute(IFA_LOCAL, address.address.Bytes());
  message.Attribute(IFA_ADDRESS, address.address.Bytes());
  if (!address.address.v6 && address.length < 31 && type == RTM_NEWADDR)
    message.Attribute(IFA_BROADCAST, Broadcast(address).Bytes());
  Result<> done = socket_.Exchange(std::move(message).Finish(), 1);
  if (!done) return std::move(done.error()).Wrap(StrCat("address ", Format(address)));
  return Ok();
}

Result<> Links::AddAddress(int link, const IpPrefix& address, bool dad) {
  return ChangeAddress(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, link, address,
                       address.address.v6 && !dad ? kNoDad : 0);
}

Result<> Links::DeleteAddress(int link, const IpPrefix& address) {
  return ChangeAddress(RTM_DELADDR, 0, link, address, 0);
}

Result<std::vector<LinkAddress>> Links::Addresses(int link, bool v6) {
  Message request(RTM_GETADDR, NLM_F_DUMP);
  ifaddrmsg any{};
  any.ifa_family = Family(v6);
  request.Fixed(any);
  std::vector<LinkAddress> addresses;
  auto take = [&](uint16_t type, std::string_view payload) {
    ifaddrmsg info{};
    if (type != RTM_NEWADDR || !ReadFixed(payload, info) || info.ifa_family != Family(v6) ||
        info.ifa_index != static_cast<uint32_t>(link))
      return;
    LinkAddress out;
    std::optional<IpAddress> local, address;
    out.flags = info.ifa_flags;
    ForEachAttribute(netlink::AfterFixed(payload, sizeof(info)),
                     [&](uint16_t attribute, std::string_view value) {
                       if (attribute == IFA_LOCAL) local = ToAddress(info.ifa_family, value);
                       if (attribute == IFA_ADDRESS) address = ToAddress(info.ifa_family, value);
                       if (attribute == IFA_FLAGS) ReadFixed(value, out.flags);
                     });
    // IFA_ADDRESS is the peer's where they differ.
    if (!local) local = address;
    if (!local) return;
    out.address = {*local, info.ifa_prefixlen};
    addresses.push_back(out);
  };
  TRY(socket_.Dump(
          std::move(request).Finish(), [&] { addresses.clear(); }, take),
      "list addresses");
  return addresses;
}

Result<> Links::ChangeRoute(uint16_t type, uint16_t flags, int link, const Route& route) {
  Message message(type, static_cast<uint16_t>(NLM_F_ACK | flags));
  rtmsg info{};
  info.rtm_family = Family(route.dst.address.v6);
  info.rtm_dst_len = static_cast<uint8_t>(route.dst.length);
  info.rtm_table = RT_TABLE_MAIN;
  // None: the kernel's own route of an address is deleted too.
  info.rtm_protocol = type == RTM_DELROUTE ? RTPROT_UNSPEC : RTPROT_BOOT;
  info.rtm_scope = static_cast<uint8_t>(route.scope.value_or(RT_SCOPE_UNIVERSE));
  info.rtm_type = RTN_UNICAST;
  if (route.table && *route.table > 255) info.rtm_table = RT_TABLE_UNSPEC;
  if (route.table && *route.table > 0 && *route.table <= 255)
    info.rtm_table = static_cast<uint8_t>(*route.table);
  message.Fixed(info);
  if (route.dst.length > 0) message.Attribute(RTA_DST, Network(route.dst).Bytes());
  if (route.gw) message.Attribute(RTA_GATEWAY, route.gw->Bytes());
  if (route.src) message.Attribute(RTA_PREFSRC, route.src->Bytes());
  message.Number(RTA_OIF, static_cast<uint32_t>(link));
  if (route.priority != 0) message.Number(RTA_PRIORITY, static_cast<uint32_t>(route.priority));
  if (route.table && *route.table > 255)
    message.Number(RTA_TABLE, static_cast<uint32_t>(*route.table));
  if (route.mtu != 0 || route.advmss != 0) {
    const size_t metrics = message.Begin(RTA_METRICS);
    if (route.mtu != 0) message.Number(RTAX_MTU, static_cast<uint32_t>(route.mtu));
    if (route.advmss != 0) message.Number(RTAX_ADVMSS, static_cast<uint32_t>(route.advmss));
    message.End(metrics);
  }
  Result<> done = socket_.Exchange(std::move(message).Finish(), 1);
  if (!done) return std::move(done.error()).Wrap(StrCat("route ", Format(route.dst)));
  return Ok();
}

// Appended: two default routes may stand side by side, as the reference has it.
Result<> Links::AddRoute(int link, const Route& route) {
  return ChangeRoute(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, link, route);
}

Result<> Links::DeleteRoute(int link, const Route& route) {
  Result<> done = ChangeRoute(RTM_DELROUTE, 0, link, route);
  if (!done && (done.error().sys_errno() == ESRCH || done.error().sys_errno() == ENOENT))
    return Ok();
  return done;
}

Result<std::vector<KernelRoute>> Links::Routes(bool v6) {
  Message request(RTM_GETROUTE, NLM_F_DUMP);
  rtmsg any{};
  any.rtm_family = Family(v6);
  request.Fixed(any);
  std::vector<KernelRoute> routes;
  auto take = [&](uint16_t type, std::string_view payload) {
    rtmsg info{};
    if (type != RTM_NEWROUTE || !ReadFixed(payload, info) || info.rtm_family != Family(v6)) return;
    KernelRoute route;
    route.dst = {IpAddress{v6, {}}, info.rtm_dst_len};
    route.table = info.rtm_table;
    ForEachAttribute(netlink::AfterFixed(payload, sizeof(info)), [&](uint16_t attribute,
                                                                     std::string_view value) {
      if (attribute == RTA_DST)
        route.dst.address = ToAddress(info.rtm_family, value).value_or(route.dst.address);
      if (attribute == RTA_GATEWAY) route.gw = ToAddress(info.rtm_family, value);
      if (attribute == RTA_OIF) ReadFixed(value, route.link);
      if (attribute == RTA_TABLE) ReadFixed(value, route.table);
    });
    routes.push_back(route);
  };
  TRY(socket_.Dump(std::move(request).Finish(), [&] { routes.clear(); }, take), "list routes");
  return routes;
}

Result<std::string> Links::InterfaceTo(const IpAddress& address) {
  Message request(RTM_GETROUTE, NLM_F_ACK);
  rtmsg info{};
  info.rtm_family = Family(address.v6);
  info.rtm_dst_len = static_cast<uint8_t>(address.bits());
  request.Fixed(info);
  request.Attribute(RTA_DST, address.Bytes());
  int index = 0;
  Result<> done = socket_.Exchange(
      std::move(request).Finish(), 1, [&](uint16_t type, std::string_view payload) {
        if (type != RTM_NEWROUTE) return;
        ForEachAttribute(netlink::AfterFixed(payload, sizeof(rtmsg)),
                         [&](uint16_t attribute, std::string_view value) {
                           if (attribute == RTA_OIF) ReadFixed(value, index);
                         });
      });
  if (!done && done.error().sys_errno() == ENETUNREACH) return std::string();
  if (!done) return std::move(done.error()).Wrap(StrCat("route to ", Format(address)));
  for (const Link& link : TRY(List()))
    if (link.index == index) return link.name;
  return std::string();
}

}  // namespace berth::cni
