// SPDX-License-Identifier: Apache-2.0
// The portmap plugin: host ports by destination NAT, and masquerading for what would otherwise be answered past the host.
#include <netinet/in.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "cni/conntrack.h"
#include "cni/links.h"
#include "cni/netns.h"
#include "cni/plugin.h"
#include "cni/pod_rules.h"
#include "cni/portmap_config.h"

namespace berth::cni {

namespace {

constexpr std::string_view kPlugin = "portmap";
const std::vector<std::string_view> kFrom{"hostports", "hairpin"};

std::string OwnerOf(const Request& request) {
  return RuleOwner(kPlugin, request.network, {request.container_id, request.ifname});
}

std::set<uint16_t> UdpPorts(const PortmapConfig& config) {
  std::set<uint16_t> ports;
  for (const HostPort& port : config.ports)
    if (port.protocol == IPPROTO_UDP) ports.insert(port.host_port);
  return ports;
}

// For each host port the translation, before it, with snat, a mark for those whose answers would go past the host: the pods
// of its own network (the pod itself among them), all with masqAll. What is marked is masqueraded, and the host's 127.0.0.1.
std::vector<PodRules> RulesFor(const PortmapConfig& config, const Outcome& previous,
                               const std::string& ifname, const std::string& owner) {
  PodRules ports{"hostports", {}}, hairpin{"hairpin", {}};
  for (bool v6 : {false, true}) {
    const std::optional<IpPrefix> pod = PodAddress(previous, ifname, v6);
    if (!pod) continue;
    for (const HostPort& port : config.ports) AddHostPort(config, port, *pod, owner, ports.rules);
    if (!config.snat) continue;
    const IpPrefix self{pod->address, pod->address.bits()};
    hairpin.rules.emplace_back().Marked(config.mark).Destination(self).Masquerade().Comment(owner);
    if (v6) continue;
    IpAddress loopback;
    loopback.bytes[0] = 127;
    loopback.bytes[3] = 1;
    hairpin.rules.emplace_back()
        .Source({loopback, 32})
        .Destination(self)
        .Masquerade()
        .Comment(owner);
  }
  return {std::move(ports), std::move(hairpin)};
}

// 127.0.0.0/8 may leave by the interface that leads to the pod.
Result<> RouteLocalnet(const IpAddress& pod) {
  Links host = TRY(Links::Open());
  const std::string name = TRY(host.InterfaceTo(pod));
  if (name.empty()) return Ok();
  const std::string key = StrCat("net/ipv4/conf/", name, "/route_localnet");
  if (Result<std::string> value = GetSysctl(key); value && *value == "1") return Ok();
  return SetSysctl(key, "1");
}

Result<> Remove(Nft& nft, const Request& request) {
  return RemovePodRules(nft, kBerthTable, OwnerOf(request), kFrom);
}

Result<> SetUp(const Request& request, const PortmapConfig& config) {
  const std::string owner = OwnerOf(request);
  Nft nft = TRY(Nft::Open());
  TRY(AddPodRules(nft, kBerthTable, NatFrame, owner,
                  RulesFor(config, *request.prev_result, request.ifname, owner)));
  // The mapping is there; a flow that goes on to nowhere is worth a word, not the pod.
  if (Result<> done = ForgetUdpTo(nft.socket(), UdpPorts(config)); !done)
    LogWarn(done.error().message());
  const std::optional<IpPrefix> pod = PodAddress(*request.prev_result, request.ifname, false);
  if (pod && config.snat) TRY(RouteLocalnet(pod->address), "unable to enable route_localnet");
  nft.Leave();
  return Ok();
}

Result<Outcome> Add(const Request& request) {
  const PortmapConfig config = TRY(ParsePortmapConfig(request.config));
  if (!request.prev_result)
    return Error(Code::kInvalidArgument, "must be called as chained plugin");
  if (config.ports.empty()) return *request.prev_result;
  if (Result<> done = SetUp(request, config); !done) {
    if (Result<Nft> nft = Nft::Open(); nft) (void)Remove(*nft, request);
    return std::move(done.error());
  }
  return *request.prev_result;
}

Result<> Del(const Request& request) {
  // The rules are looked for whatever the configuration says now, also when it says nothing that can be read: what
  // cannot be taken down would keep its pod for ever.
  const Result<PortmapConfig> config = ParsePortmapConfig(request.config);
  if (!config) LogWarn(config.error().message());
  Nft nft = TRY(Nft::Open());
  TRY(Remove(nft, request));
  if (config) {
    if (Result<> done = ForgetUdpTo(nft.socket(), UdpPorts(*config)); !done)
      LogWarn(done.error().message());
  }
  nft.Leave();
  return Ok();
}

// The chain leads to the host ports.
Result<bool> Enters(Nft& nft, std::string_view chain) {
  const std::vector<NftRuleInfo> rules = TRY(nft.Rules(kBerthTable, chain));
  return std::ranges::any_of(rules,
                             [](const NftRuleInfo& rule) { return rule.jump == "hostports"; });
}

Result<> Check(const Request& request) {
  const PortmapConfig config = TRY(ParsePortmapConfig(request.config));
  if (!request.prev_result) return Error(Code::kInvalidArgument, "Required prevResult missing");
  if (config.ports.empty()) return Ok();
  const std::string owner = OwnerOf(request);
  Nft nft = TRY(Nft::Open());
  const bool entered = TRY(Enters(nft, "prerouting")) && TRY(Enters(nft, "output"));
  for (const PodRules& part : RulesFor(config, *request.prev_result, request.ifname, owner)) {
    if (!entered || !TRY(HasPodRules(nft, kBerthTable, owner, {part})))
      return Error(Code::kInternal,
                   StrCat("missing hostport rules in ", Quote(part.from), " chain"));
  }
  return Ok();
}

Result<> Status(const Request&) { return Ok(); }

Result<> Gc(const Request& request) {
  if (!request.valid_attachments) return Ok();
  return CollectPodRules(kBerthTable, kPlugin, request.network, *request.valid_attachments, kFrom);
}

}  // namespace

const Plugin kPortmap{"portmap", Add, Del, Check, Status, Gc};

}  // namespace berth::cni
