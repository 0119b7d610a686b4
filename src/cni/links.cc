// SPDX-License-Identifier: Apache-2.0
// Interfaces; addresses and routes are in link_addresses.cc.
#include "cni/links.h"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/strings.h"

namespace berth::cni {

namespace {

namespace netlink = os::netlink;
using netlink::ForEachAttribute;
using netlink::Message;
using netlink::ReadFixed;
using netlink::TextOf;

constexpr uint8_t kOperUp = 6;  // IF_OPER_UP of RFC 2863; <linux/if.h> does not go with <net/if.h>
constexpr uint32_t kUp = 1;     // IFF_UP

ifinfomsg OfLink(int index, uint32_t flags = 0, uint32_t change = 0) {
  ifinfomsg info{};
  info.ifi_family = AF_UNSPEC;
  info.ifi_index = index;
  info.ifi_flags = flags;
  info.ifi_change = change;
  return info;
}

Link ToLink(std::string_view payload) {
  Link link;
  ifinfomsg info{};
  if (!ReadFixed(payload, info)) return link;
  link.index = info.ifi_index;
  link.flags = info.ifi_flags;
  ForEachAttribute(netlink::AfterFixed(payload, sizeof(info)),
                   [&](uint16_t type, std::string_view value) {
                     if (type == IFLA_IFNAME) link.name = TextOf(value);
                     if (type == IFLA_ADDRESS) link.address = value;
                     if (type == IFLA_MTU) ReadFixed(value, link.mtu);
                     if (type == IFLA_MASTER) ReadFixed(value, link.master);
                     if (type == IFLA_LINK) ReadFixed(value, link.peer);
                     if (type == IFLA_TXQLEN) ReadFixed(value, link.queue_length);
                     if (type == IFLA_PROMISCUITY) ReadFixed(value, link.promiscuity);
                     if (type == IFLA_OPERSTATE)
                       link.oper_up = !value.empty() && static_cast<uint8_t>(value[0]) == kOperUp;
                     if (type != IFLA_LINKINFO) return;
                     ForEachAttribute(value, [&](uint16_t inner, std::string_view text) {
                       if (inner == IFLA_INFO_KIND) link.kind = TextOf(text);
                     });
                   });
  return link;
}

Message NewLink() { return Message(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL); }

}  // namespace

bool Link::up() const { return (flags & kUp) != 0; }

Result<Links> Links::Open() { return Links(TRY(netlink::Socket::Open(NETLINK_ROUTE))); }

Result<> Links::Change(Message message) { return socket_.Exchange(std::move(message).Finish(), 1); }

Result<Link> Links::Find(const std::string& name) {
  Message request(RTM_GETLINK, NLM_F_ACK);
  request.Fixed(OfLink(0));
  request.Text(IFLA_IFNAME, name);
  Link link;
  Result<> done = socket_.Exchange(std::move(request).Finish(), 1,
                                   [&](uint16_t type, std::string_view payload) {
                                     if (type == RTM_NEWLINK) link = ToLink(payload);
                                   });
  if (!done && done.error().sys_errno() == ENODEV)
    return Error(Code::kNotFound, StrCat("interface ", name, ": Link not found"));
  if (!done) return std::move(done.error()).Wrap(StrCat("interface ", name));
  return link;
}

Result<std::vector<Link>> Links::List() {
  Message request(RTM_GETLINK, NLM_F_DUMP);
  request.Fixed(OfLink(0));
  std::vector<Link> links;
  TRY(socket_.Dump(
          std::move(request).Finish(), [&] { links.clear(); },
          [&](uint16_t type, std::string_view payload) {
            if (type == RTM_NEWLINK) links.push_back(ToLink(payload));
          }),
      "list interfaces");
  return links;
}

Result<> Links::AddVeth(const Veth& veth) {
  Message message = NewLink();
  message.Fixed(OfLink(0));
  message.Text(IFLA_IFNAME, veth.name);
  if (veth.mtu != 0) message.Number(IFLA_MTU, veth.mtu);
  if (!veth.address.empty()) message.Attribute(IFLA_ADDRESS, veth.address);
  const size_t info = message.Begin(IFLA_LINKINFO);
  message.Text(IFLA_INFO_KIND, "veth");
  const size_t data = message.Begin(IFLA_INFO_DATA);
  const size_t peer = message.Begin(VETH_INFO_PEER);
  message.Fixed(OfLink(0));
  message.Text(IFLA_IFNAME, veth.peer_name);
  if (veth.mtu != 0) message.Number(IFLA_MTU, veth.mtu);
  if (!veth.peer_address.empty()) message.Attribute(IFLA_ADDRESS, veth.peer_address);
  message.Number(IFLA_NET_NS_FD, static_cast<uint32_t>(veth.peer_netns));
  message.End(peer);
  message.End(data);
  message.End(info);
  return Change(std::move(message));
}

Result<> Links::AddBridge(const std::string& name, uint32_t mtu, std::string_view address,
                          bool vlan_filtering) {
  Message message = NewLink();
  message.Fixed(OfLink(0));
  message.Text(IFLA_IFNAME, name);
  if (mtu != 0) message.Number(IFLA_MTU, mtu);
  if (!address.empty()) message.Attribute(IFLA_ADDRESS, address);
  const size_t info = message.Begin(IFLA_LINKINFO);
  message.Text(IFLA_INFO_KIND, "bridge");
  if (vlan_filtering) {
    const size_t data = message.Begin(IFLA_INFO_DATA);
    message.Number(IFLA_BR_VLAN_FILTERING, uint8_t{1});
    message.End(data);
  }
  message.End(info);
  return Change(std::move(message));
}

Result<> Links::AddIfb(const std::string& name, uint32_t mtu) {
  Message message = NewLink();
  message.Fixed(OfLink(0, kUp, kUp));
  message.Text(IFLA_IFNAME, name);
  message.Number(IFLA_MTU, mtu);
  const size_t info = message.Begin(IFLA_LINKINFO);
  message.Text(IFLA_INFO_KIND, "ifb");
  message.End(info);
  return Change(std::move(message));
}

Result<> Links::Delete(int link) {
  Message message(RTM_DELLINK, NLM_F_ACK);
  message.Fixed(OfLink(link));
  Result<> done = Change(std::move(message));
  if (!done && done.error().sys_errno() == ENODEV) return Ok();
  return done;
}

Result<> Links::SetUp(int link, bool up) { return SetFlag(link, kUp, up); }

Result<> Links::SetFlag(int link, uint32_t flag, bool on) {
  Message message(RTM_NEWLINK, NLM_F_ACK);
  message.Fixed(OfLink(link, on ? flag : 0, flag));
  return Change(std::move(message));
}

Result<> Links::SetMasterAndUp(int link, int master) {
  Message message(RTM_NEWLINK, NLM_F_ACK);
  message.Fixed(OfLink(link, kUp, kUp));
  message.Number(IFLA_MASTER, static_cast<uint32_t>(master));
  return Change(std::move(message));
}

Result<> Links::SetAddress(int link, std::string_view address) {
  Message message(RTM_NEWLINK, NLM_F_ACK);
  message.Fixed(OfLink(link));
  message.Attribute(IFLA_ADDRESS, address);
  return Change(std::move(message));
}

Result<> Links::SetMtu(int link, uint32_t mtu) {
  Message message(RTM_NEWLINK, NLM_F_ACK);
  message.Fixed(OfLink(link));
  message.Number(IFLA_MTU, mtu);
  return Change(std::move(message));
}

Result<> Links::SetQueueLength(int link, uint32_t length) {
  Message message(RTM_NEWLINK, NLM_F_ACK);
  message.Fixed(OfLink(link));
  message.Number(IFLA_TXQLEN, length);
  return Change(std::move(message));
}

Result<> Links::SetPort(int link, bool hairpin, bool isolated) {
  Message message(RTM_SETLINK, NLM_F_ACK);
  ifinfomsg info = OfLink(link);
  info.ifi_family = AF_BRIDGE;
  message.Fixed(info);
  const size_t port = message.Begin(IFLA_PROTINFO);
  message.Number(IFLA_BRPORT_MODE, static_cast<uint8_t>(hairpin ? 1 : 0));
  message.Number(IFLA_BRPORT_ISOLATED, static_cast<uint8_t>(isolated ? 1 : 0));
  message.End(port);
  return Change(std::move(message));
}

Result<std::vector<uint16_t>> Links::Vlans(int link) {
  Message request(RTM_GETLINK, NLM_F_DUMP);
  ifinfomsg any{};
  any.ifi_family = AF_BRIDGE;
  request.Fixed(any);
  request.Number(IFLA_EXT_MASK, uint32_t{RTEXT_FILTER_BRVLAN});
  std::vector<uint16_t> ids;
  auto take = [&](uint16_t type, std::string_view payload) {
    ifinfomsg info{};
    if (type != RTM_NEWLINK || !ReadFixed(payload, info) || info.ifi_index != link) return;
    ForEachAttribute(netlink::AfterFixed(payload, sizeof(info)),
                     [&](uint16_t outer, std::string_view spec) {
                       if (outer != IFLA_AF_SPEC) return;
                       ForEachAttribute(spec, [&](uint16_t inner, std::string_view value) {
                         bridge_vlan_info vlan{};
                         if (inner == IFLA_BRIDGE_VLAN_INFO && ReadFixed(value, vlan))
                           ids.push_back(vlan.vid);
                       });
                     });
  };
  TRY(socket_.Dump(std::move(request).Finish(), [&] { ids.clear(); }, take), "list vlans");
  return ids;
}

Result<> Links::ChangeVlan(uint16_t type, int link, uint16_t id, uint16_t flags) {
  Message message(type, NLM_F_ACK);
  ifinfomsg info = OfLink(link);
  info.ifi_family = AF_BRIDGE;
  message.Fixed(info);
  const size_t spec = message.Begin(IFLA_AF_SPEC);
  message.Number(IFLA_BRIDGE_FLAGS, uint16_t{BRIDGE_FLAGS_MASTER});
  bridge_vlan_info vlan{};
  vlan.vid = id;
  vlan.flags = flags;
  message.Number(IFLA_BRIDGE_VLAN_INFO, vlan);
  message.End(spec);
  return Change(std::move(message));
}

Result<> Links::AddVlan(int link, uint16_t id, bool native) {
  return ChangeVlan(RTM_SETLINK, link, id,
                    native ? BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED : 0);
}

Result<> Links::DeleteVlan(int link, uint16_t id) { return ChangeVlan(RTM_DELLINK, link, id, 0); }

}  // namespace berth::cni
