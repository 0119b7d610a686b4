// SPDX-License-Identifier: Apache-2.0
// The portmap plugin: host ports by destination NAT, and masquerading for what would otherwise be answered past the host.
#include <netinet/in.h>

#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "cni/conntrack.h"
#include "cni/links.h"
#include "cni/netns.h"
#include "cni/nft.h"
#include "cni/plugin.h"
#include "cni/portmap_config.h"

namespace berth::cni {

namespace {

constexpr std::string_view kPlugin = "portmap";

std::string OwnerOf(const Request& request) {
  return RuleOwner(kPlugin, request.network, {request.container_id, request.ifname});
}

std::set<uint16_t> UdpPorts(const PortmapConfig& config) {
  std::set<uint16_t> ports;
  for (const HostPort& port : config.ports)
    if (port.protocol == IPPROTO_UDP) ports.insert(port.host_port);
  return ports;
}

// A pod that reaches itself by the host, and the host by 127.0.0.1, whose answers would not come back.
std::vector<NftRule> MasqueradeRules(const PortmapConfig& config, const IpAddress& pod,
                                     std::string_view owner) {
  const IpPrefix self{pod, pod.bits()};
  if (config.masq_all) {
    std::vector<NftRule> all(1);
    all[0].Destination(self).WasTranslated().Masquerade().Comment(owner);
    return all;
  }
  if (!config.snat) return {};
  std::vector<NftRule> rules(1);
  rules[0].Source(self).Destination(self).Masquerade().Comment(owner);
  if (pod.v6) return rules;
  IpAddress loopback;
  loopback.bytes[0] = 127;
  loopback.bytes[3] = 1;
  rules.emplace_back().Source({loopback, 32}).Destination(self).Masquerade().Comment(owner);
  return rules;
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

void AddRules(NftBatch& batch, const PortmapConfig& config, const IpAddress& pod,
              const std::string& owner) {
  for (const HostPort& port : config.ports) {
    if (std::optional<NftRule> rule =
            HostPortRule(port, pod, config.conditions[pod.v6 ? 1 : 0], owner))
      batch.Add(kBerthTable, "hostports", *rule);
  }
  for (const NftRule& rule : MasqueradeRules(config, pod, owner))
    batch.Add(kBerthTable, "postrouting", rule);
}

Result<> Remove(Nft& nft, const Request& request) {
  const std::string owner = OwnerOf(request);
  return nft.Remove(kBerthTable, [&](const std::string& of) { return of == owner; });
}

Result<> SetUp(const Request& request, const PortmapConfig& config) {
  const std::string owner = OwnerOf(request);
  std::optional<IpPrefix> pods[2];
  for (bool v6 : {false, true})
    pods[v6 ? 1 : 0] = PodAddress(*request.prev_result, request.ifname, v6);
  Nft nft = TRY(Nft::Open());
  TRY(nft.Replace(kBerthTable, owner, [&](NftBatch& batch, const std::vector<NftRuleInfo>& rules) {
    AddHostPorts(batch, rules);
    AddPostrouting(batch);
    for (const std::optional<IpPrefix>& pod : pods)
      if (pod) AddRules(batch, config, pod->address, owner);
  }));
  // The mapping is there; a flow that goes on to nowhere is worth a word, not the pod.
  if (Result<> done = ForgetUdpTo(nft.socket(), UdpPorts(config)); !done)
    LogWarn(done.error().message());
  for (const std::optional<IpPrefix>& pod : pods) {
    if (!pod) continue;
    if (!pod->address.v6 && config.snat)
      TRY(RouteLocalnet(pod->address), "unable to enable route_localnet");
  }
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

Result<> Check(const Request& request) {
  const PortmapConfig config = TRY(ParsePortmapConfig(request.config));
  if (!request.prev_result) return Error(Code::kInvalidArgument, "Required prevResult missing");
  if (config.ports.empty()) return Ok();
  const std::string owner = OwnerOf(request);
  size_t ports = 0, masquerades = 0;
  for (bool v6 : {false, true}) {
    const std::optional<IpPrefix> pod = PodAddress(*request.prev_result, request.ifname, v6);
    if (!pod) continue;
    for (const HostPort& port : config.ports)
      ports += HostPortRule(port, pod->address, {}, owner) ? 1 : 0;
    masquerades += MasqueradeRules(config, pod->address, owner).size();
  }
  if (TRY(CountRules(owner, "hostports")) < ports)
    return Error(Code::kInternal, "missing hostport rules in \"hostports\" chain");
  if (TRY(CountRules(owner, "postrouting")) < masquerades)
    return Error(Code::kInternal, "missing hostport rules in \"postrouting\" chain");
  return Ok();
}

Result<> Status(const Request&) { return Ok(); }

Result<> Gc(const Request& request) {
  if (!request.valid_attachments) return Ok();
  return CollectRules(kPlugin, request.network, *request.valid_attachments);
}

}  // namespace

const Plugin kPortmap{"portmap", Add, Del, Check, Status, Gc};

}  // namespace berth::cni
