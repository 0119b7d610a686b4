// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_links.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.h"
#include "os/netlink.h"

namespace berth::runtime {

namespace {

namespace netlink = os::netlink;
using netlink::ForEachAttribute;
using netlink::Message;
using netlink::ReadFixed;
using netlink::TextOf;

Link ToLink(const ifinfomsg& info, std::string_view attributes) {
  Link link;
  link.index = info.ifi_index;
  ForEachAttribute(attributes, [&](uint16_t type, std::string_view value) {
    if (type == IFLA_IFNAME) link.name = TextOf(value);
    if (type == IFLA_MTU) ReadFixed(value, link.mtu);
    if (type == IFLA_MASTER) ReadFixed(value, link.master);
    if (type != IFLA_LINKINFO) return;
    ForEachAttribute(value, [&](uint16_t inner, std::string_view text) {
      if (inner == IFLA_INFO_KIND) link.kind = TextOf(text);
    });
  });
  return link;
}

uint32_t MaskOf(int length) { return length == 0 ? 0 : ~uint32_t{0} << (32 - length); }

Result<> Dump(const std::string& request, const std::function<void()>& clear,
              const netlink::OnAnswer& on_answer) {
  netlink::Socket socket = TRY(netlink::Socket::Open(NETLINK_ROUTE));
  return socket.Dump(request, clear, on_answer);
}

// nf_tables(8) takes changes only between a begin and an end message; each part is acknowledged by
// itself.
std::string NftBatch(NftFamily family, uint16_t message, const std::string& table,
                     const std::string& chain) {
  nfgenmsg batch{};
  batch.nfgen_family = AF_UNSPEC;
  batch.version = NFNETLINK_V0;
  batch.res_id = htons(NFNL_SUBSYS_NFTABLES);
  Message begin(NFNL_MSG_BATCH_BEGIN, 0, 1);
  begin.Fixed(batch);

  nfgenmsg head{};
  head.nfgen_family = static_cast<uint8_t>(family);
  head.version = NFNETLINK_V0;
  // NLM_F_NONREC: only what is empty.
  Message body(static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | message),
               NLM_F_ACK | NLM_F_NONREC, 2);
  body.Fixed(head);
  const std::string table_text = table + '\0';
  if (message == NFT_MSG_DELCHAIN) {
    body.Attribute(NFTA_CHAIN_TABLE, table_text);
    body.Attribute(NFTA_CHAIN_NAME, chain + '\0');
  } else {
    body.Attribute(NFTA_TABLE_NAME, table_text);
  }
  Message end(NFNL_MSG_BATCH_END, 0, 3);
  end.Fixed(batch);
  return std::move(begin).Finish() + std::move(body).Finish() + std::move(end).Finish();
}

Result<> DeleteNft(NftFamily family, uint16_t message, const std::string& table,
                   const std::string& chain) {
  Result<> done =
      netlink::Exchange(NETLINK_NETFILTER, NftBatch(family, message, table, chain), 1, {});
  if (done) return Ok();
  const int err = done.error().sys_errno();
  // Not there, in use, or a kernel without nf_tables.
  if (err == ENOENT || err == EBUSY || err == EOPNOTSUPP || err == EINVAL) return Ok();
  return std::move(done.error()).Wrap(StrCat("remove empty nft table ", table));
}

}  // namespace

Result<std::vector<Link>> ListLinks() {
  Message request(RTM_GETLINK, NLM_F_DUMP, 1);
  ifinfomsg any{};
  any.ifi_family = AF_UNSPEC;
  request.Fixed(any);
  std::vector<Link> links;
  TRY(Dump(
          std::move(request).Finish(), [&] { links.clear(); },
          [&](uint16_t type, std::string_view payload) {
            ifinfomsg info{};
            if (type != RTM_NEWLINK || !ReadFixed(payload, info)) return;
            links.push_back(ToLink(info, payload.substr(NLMSG_ALIGN(sizeof(info)))));
          }),
      "list network interfaces");
  return links;
}

Result<> DeleteLink(const Link& link) {
  Message request(RTM_DELLINK, NLM_F_ACK, 1);
  ifinfomsg info{};
  info.ifi_family = AF_UNSPEC;
  info.ifi_index = link.index;
  request.Fixed(info);
  Result<> done = netlink::Exchange(NETLINK_ROUTE, std::move(request).Finish(), 1, {});
  if (!done && done.error().sys_errno() == ENODEV) return Ok();
  if (!done) return std::move(done.error()).Wrap(StrCat("remove interface ", link.name));
  return Ok();
}

bool Ipv4Prefix::Overlaps(const Ipv4Prefix& other) const {
  const uint32_t mask = MaskOf(std::min(length, other.length));
  return (address & mask) == (other.address & mask);
}

Result<Ipv4Prefix> ParseIpv4Prefix(std::string_view text) {
  const Error bad(Code::kInvalidArgument, StrCat("IPv4 subnet ", Quote(text), ": not a prefix"));
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return bad.Clone();
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(text.substr(0, slash)).c_str(), &address) != 1)
    return bad.Clone();
  Ipv4Prefix prefix;
  prefix.length = static_cast<int>(TRY(ParseInt(text.substr(slash + 1), 0, 32, "prefix length")));
  prefix.address = ntohl(address.s_addr);
  if ((prefix.address & ~MaskOf(prefix.length)) != 0) return bad.Clone();
  return prefix;
}

std::string FormatIpv4(uint32_t address) {
  return StrCat(address >> 24, ".", (address >> 16) & 0xff, ".", (address >> 8) & 0xff, ".",
                address & 0xff);
}

Result<std::vector<Route>> ListIpv4Routes() {
  Message request(RTM_GETROUTE, NLM_F_DUMP, 1);
  rtmsg any{};
  any.rtm_family = AF_INET;
  request.Fixed(any);
  std::vector<Route> routes;
  TRY(Dump(
          std::move(request).Finish(), [&] { routes.clear(); },
          [&](uint16_t type, std::string_view payload) {
            rtmsg info{};
            if (type != RTM_NEWROUTE || !ReadFixed(payload, info)) return;
            if (info.rtm_type != RTN_UNICAST && info.rtm_type != RTN_LOCAL) return;
            Route route;
            route.destination.length = std::min<int>(info.rtm_dst_len, 32);
            ForEachAttribute(payload.substr(NLMSG_ALIGN(sizeof(info))),
                             [&](uint16_t attribute, std::string_view value) {
                               if (attribute == RTA_OIF) ReadFixed(value, route.link);
                               uint32_t address = 0;
                               if (attribute == RTA_DST && ReadFixed(value, address))
                                 route.destination.address = ntohl(address);
                             });
            routes.push_back(route);
          }),
      "list routes");
  return routes;
}

Result<bool> ForwardIsDropped() {
  Message request(static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN),
                  NLM_F_DUMP);
  nfgenmsg head{};
  head.version = NFNETLINK_V0;
  request.Fixed(head);
  bool dropped = false;
  auto take = [&](uint16_t, std::string_view payload) {
    nfgenmsg of{};
    if (!ReadFixed(payload, of) || (of.nfgen_family != AF_INET && of.nfgen_family != AF_INET6))
      return;
    std::string table, chain;
    uint32_t policy = htonl(NF_ACCEPT);
    ForEachAttribute(netlink::AfterFixed(payload, sizeof(of)),
                     [&](uint16_t type, std::string_view value) {
                       if (type == NFTA_CHAIN_TABLE) table = TextOf(value);
                       if (type == NFTA_CHAIN_NAME) chain = TextOf(value);
                       if (type == NFTA_CHAIN_POLICY) ReadFixed(value, policy);
                     });
    if (table == "filter" && chain == "FORWARD" && ntohl(policy) == NF_DROP) dropped = true;
  };
  netlink::Socket socket = TRY(netlink::Socket::Open(NETLINK_NETFILTER));
  Result<> done = socket.Dump(std::move(request).Finish(), [&] { dropped = false; }, take);
  if (!done && (done.error().sys_errno() == EOPNOTSUPP || done.error().sys_errno() == EINVAL))
    return false;
  if (!done) return std::move(done.error()).Wrap("look at the chain FORWARD");
  return dropped;
}

Result<> DeleteEmptyNftTable(NftFamily family, const std::string& table,
                             const std::vector<std::string>& chains) {
  for (const std::string& chain : chains) TRY(DeleteNft(family, NFT_MSG_DELCHAIN, table, chain));
  return DeleteNft(family, NFT_MSG_DELTABLE, table, "");
}

}  // namespace berth::runtime
