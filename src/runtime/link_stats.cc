// SPDX-License-Identifier: Apache-2.0
#include "runtime/link_stats.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "os/fd.h"
#include "os/netlink.h"

namespace berth::runtime {

namespace {

namespace netlink = os::netlink;
using netlink::ForEachAttribute;
using netlink::Message;
using netlink::ReadFixed;

template <class T>
std::string_view Bytes(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

struct LinkInfo {
  int index = 0;
  bool loopback = false;
  std::string name, kind;
  int peer = 0;                      // IFLA_LINK
  std::optional<int32_t> peer_nsid;  // set when the peer is in another namespace
  rtnl_link_stats64 counters{};
};

// An older kernel's structure ends earlier: what it does not count is zero.
bool ReadCounters(std::string_view value, rtnl_link_stats64& out) {
  if (value.size() < offsetof(rtnl_link_stats64, multicast)) return false;
  out = {};
  std::memcpy(&out, value.data(), std::min(value.size(), sizeof(out)));
  return true;
}

LinkInfo ToLinkInfo(const ifinfomsg& info, std::string_view attributes) {
  LinkInfo link;
  link.index = info.ifi_index;
  link.loopback = (info.ifi_flags & IFF_LOOPBACK) != 0;
  ForEachAttribute(attributes, [&](uint16_t type, std::string_view value) {
    if (type == IFLA_IFNAME) link.name = value.substr(0, value.find('\0'));
    if (type == IFLA_LINK) ReadFixed(value, link.peer);
    if (type == IFLA_STATS64) ReadCounters(value, link.counters);
    int32_t nsid = 0;
    if (type == IFLA_LINK_NETNSID && ReadFixed(value, nsid)) link.peer_nsid = nsid;
    if (type != IFLA_LINKINFO) return;
    ForEachAttribute(value, [&](uint16_t inner, std::string_view text) {
      if (inner == IFLA_INFO_KIND) link.kind = text.substr(0, text.find('\0'));
    });
  });
  return link;
}

// A dump that was interrupted by a change is asked for again.
Result<> Dump(const std::string& request, const std::function<void()>& clear,
              const netlink::OnAnswer& on_answer) {
  constexpr int kTries = 5;
  Result<> done = Ok();
  for (int i = 0; i < kTries; ++i) {
    clear();
    done = netlink::Exchange(NETLINK_ROUTE, request, 0, on_answer);
    if (done || done.error().code() != Code::kAborted) break;
  }
  return done;
}

// The links of the namespace with this id; EINVAL when there is no such id.
Result<std::vector<LinkInfo>> LinksOf(int nsid) {
  Message request(RTM_GETLINK, NLM_F_DUMP, 1);
  ifinfomsg any{};
  any.ifi_family = AF_UNSPEC;
  request.Fixed(any);
  request.Attribute(IFLA_TARGET_NETNSID, Bytes(int32_t{nsid}));
  std::vector<LinkInfo> links;
  TRY(Dump(
          std::move(request).Finish(), [&] { links.clear(); },
          [&](uint16_t type, std::string_view payload) {
            ifinfomsg info{};
            if (type != RTM_NEWLINK || !ReadFixed(payload, info)) return;
            links.push_back(ToLinkInfo(info, payload.substr(NLMSG_ALIGN(sizeof(info)))));
          }),
      "list a pod's interfaces");
  return links;
}

Result<std::optional<LinkInfo>> LinkByIndex(int index) {
  Message request(RTM_GETLINK, NLM_F_ACK, 1);
  ifinfomsg wanted{};
  wanted.ifi_family = AF_UNSPEC;
  wanted.ifi_index = index;
  request.Fixed(wanted);
  std::optional<LinkInfo> link;
  Result<> done = netlink::Exchange(
      NETLINK_ROUTE, std::move(request).Finish(), 1, [&](uint16_t type, std::string_view payload) {
        ifinfomsg info{};
        if (type == RTM_NEWLINK && ReadFixed(payload, info))
          link = ToLinkInfo(info, payload.substr(NLMSG_ALIGN(sizeof(info))));
      });
  if (!done && done.error().sys_errno() == ENODEV) return std::optional<LinkInfo>();
  if (!done) return std::move(done.error());
  return link;
}

// RTM_GETNSID: the id that the namespace has in ours, if any.
Result<int> AskNsId(int fd) {
  Message request(RTM_GETNSID, NLM_F_ACK, 1);
  request.Fixed(rtgenmsg{});
  request.Attribute(NETNSA_FD, Bytes(int32_t{fd}));
  int32_t id = -1;
  TRY(netlink::Exchange(NETLINK_ROUTE, std::move(request).Finish(), 1,
                        [&](uint16_t type, std::string_view payload) {
                          rtgenmsg head{};
                          if (type != RTM_NEWNSID || !ReadFixed(payload, head)) return;
                          ForEachAttribute(payload.substr(NLMSG_ALIGN(sizeof(head))),
                                           [&](uint16_t attribute, std::string_view value) {
                                             if (attribute == NETNSA_NSID) ReadFixed(value, id);
                                           });
                        }),
      "network namespace id");
  return id;
}

// A namespace with a veth to ours has an id since the veth was made; others are given one.
Result<int> NsIdOf(int fd) {
  const int id = TRY(AskNsId(fd));
  if (id >= 0) return id;
  Message request(RTM_NEWNSID, NLM_F_ACK, 1);
  request.Fixed(rtgenmsg{});
  request.Attribute(NETNSA_NSID, Bytes(int32_t{-1}));
  request.Attribute(NETNSA_FD, Bytes(int32_t{fd}));
  Result<> made = netlink::Exchange(NETLINK_ROUTE, std::move(request).Finish(), 1, {});
  // Another thread was first.
  if (!made && made.error().sys_errno() != EEXIST)
    return std::move(made.error()).Wrap("give the network namespace an id");
  return AskNsId(fd);
}

using Counters = std::map<int, rtnl_link_stats64>;  // by index

// RTM_GETSTATS: the 64-bit counters of every link here, and nothing else of them.
Result<Counters> AllCounters() {
  Message request(RTM_GETSTATS, NLM_F_DUMP, 1);
  if_stats_msg any{};
  any.filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
  request.Fixed(any);
  Counters counters;
  TRY(Dump(
          std::move(request).Finish(), [&] { counters.clear(); },
          [&](uint16_t type, std::string_view payload) {
            if_stats_msg info{};
            if (type != RTM_NEWSTATS || !ReadFixed(payload, info)) return;
            ForEachAttribute(payload.substr(NLMSG_ALIGN(sizeof(info))),
                             [&](uint16_t attribute, std::string_view value) {
                               rtnl_link_stats64 stats{};
                               if (attribute == IFLA_STATS_LINK_64 && ReadCounters(value, stats))
                                 counters[static_cast<int>(info.ifindex)] = stats;
                             });
          }),
      "interface counters");
  return counters;
}

InterfaceUsage OwnEnd(const std::string& name, const rtnl_link_stats64& s) {
  return {.name = name,
          .rx_bytes = s.rx_bytes,
          .rx_packets = s.rx_packets,
          .rx_errors = s.rx_errors,
          .rx_dropped = s.rx_dropped,
          .tx_bytes = s.tx_bytes,
          .tx_packets = s.tx_packets,
          .tx_errors = s.tx_errors,
          .tx_dropped = s.tx_dropped};
}

// What the other end receives, this one has sent.
InterfaceUsage OtherEnd(const std::string& name, const rtnl_link_stats64& s) {
  InterfaceUsage usage = OwnEnd(name, s);
  std::swap(usage.rx_bytes, usage.tx_bytes);
  std::swap(usage.rx_packets, usage.tx_packets);
  std::swap(usage.rx_errors, usage.tx_errors);
  std::swap(usage.rx_dropped, usage.tx_dropped);
  return usage;
}

}  // namespace

Result<LinkStats::Known> LinkStats::Learn(const PodNetNs& pod) {
  os::Fd ns(::open(pod.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!ns) return ErrnoError(StrCat("network namespace ", pod.path));
  Known known;
  known.nsid = TRY(NsIdOf(ns.get()), pod.path);
  for (const LinkInfo& link : TRY(LinksOf(known.nsid), pod.path)) {
    if (link.loopback) continue;
    // An index means nothing in the wrong namespace: both ends must point at each other.
    std::optional<LinkInfo> other;
    if (link.kind == "veth" && link.peer > 0) other = TRY(LinkByIndex(link.peer));
    if (!other || other->kind != "veth" || other->peer != link.index ||
        other->peer_nsid != known.nsid) {
      known.peers.clear();
      return known;
    }
    known.peers.push_back({link.name, other->index});
  }
  return known;
}

Result<> LinkStats::ReadDirectly(const std::vector<std::pair<std::string, int>>& pods,
                                 std::map<std::string, NetworkUsage>& out) {
  for (const auto& [id, nsid] : pods) {
    auto links = LinksOf(nsid);
    if (!links && links.error().sys_errno() == EINVAL) {
      Forget(id);  // the namespace ended
      continue;
    }
    if (!links) return std::move(links.error());
    NetworkUsage usage{.timestamp = clock_.WallNanos(), .interfaces = {}};
    for (const LinkInfo& link : *links)
      if (!link.loopback) usage.interfaces.push_back(OwnEnd(link.name, link.counters));
    out[id] = std::move(usage);
  }
  return Ok();
}

Result<std::map<std::string, NetworkUsage>> LinkStats::Read(const std::vector<PodNetNs>& pods) {
  std::map<std::string, Known> wanted;
  for (const PodNetNs& pod : pods) {
    {
      auto known = known_.Lock();
      const auto at = known->find(pod.sandbox_id);
      if (at != known->end()) {
        wanted.insert(*at);
        continue;
      }
    }
    auto learnt = Learn(pod);
    if (!learnt) {
      // It is being stopped, or was made by something that we cannot ask: the others count all the same.
      LogDebug(StrCat("statistics of pod ", pod.sandbox_id, ": ", learnt.error().message()));
      continue;
    }
    // Interfaces may still come; what is learnt of a pod without any is not kept.
    if (!learnt->peers.empty()) known_.Lock()->insert_or_assign(pod.sandbox_id, *learnt);
    wanted.emplace(pod.sandbox_id, std::move(*learnt));
  }
  std::map<std::string, NetworkUsage> out;
  std::vector<std::pair<std::string, int>> direct;
  Counters counters;
  if (pods.size() > 1) counters = TRY(AllCounters());
  const int64_t now = clock_.WallNanos();
  for (const auto& [id, known] : wanted) {
    NetworkUsage usage{.timestamp = now, .interfaces = {}};
    for (const Peer& peer : known.peers)
      if (const auto at = counters.find(peer.host_index); at != counters.end())
        usage.interfaces.push_back(OtherEnd(peer.name, at->second));
    if (known.peers.empty() || usage.interfaces.size() != known.peers.size())
      direct.emplace_back(id, known.nsid);
    else
      out[id] = std::move(usage);
  }
  TRY(ReadDirectly(direct, out));
  return out;
}

void LinkStats::Forget(const std::string& sandbox_id) { known_.Lock()->erase(sandbox_id); }

}  // namespace berth::runtime
