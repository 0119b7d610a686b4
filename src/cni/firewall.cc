// SPDX-License-Identifier: Apache-2.0
// The firewall plugin. Where iptables (of nftables) has a chain FORWARD, the pods' packets are let through in it, by rules that
// iptables itself shows; an "accept" in a table of our own would not keep that chain from dropping them.
//
//   table ip filter (and ip6)                       the host's own, by iptables-nft
//     FORWARD      jump CNI-FORWARD                 first
//     CNI-FORWARD  jump CNI-ADMIN                   the operator's overrides
//                  -d <pod> --ctstate RELATED,ESTABLISHED ACCEPT;  -s <pod> ACCEPT
//   table inet berth_cni (pod_rules.h)              ingressPolicy same-bridge and isolated
//     chain forward    iifname <bridge> oifname != <bridge> jump isolation
//     chain isolation  oifname <bridge> drop
//
// The chains and the jumps to them stay, as the reference leaves them: the operator may use them.
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "cni/json_internal.h"
#include "cni/plugin.h"
#include "cni/pod_rules.h"

namespace berth::cni {

namespace {

constexpr std::string_view kPlugin = "firewall";
constexpr std::string_view kPods = "CNI-FORWARD";
constexpr std::string_view kForward = "FORWARD";
constexpr NftTable kFilters[2] = {{NftFamily::kIpv4, "filter"}, {NftFamily::kIpv6, "filter"}};
const std::vector<std::string_view> kFrom{"forward", "isolation"};
constexpr uint16_t kEstablished =
    1U << (IP_CT_ESTABLISHED + 1) | 1U << (IP_CT_RELATED + 1);  // XT_CONNTRACK_STATE_BIT

constexpr size_t kMaxChainName = 28;  // XT_EXTENSION_MAXNAMELEN without the NUL

enum class Policy { kOpen, kSameBridge, kIsolated };

struct FirewallConfig {
  std::string admin = "CNI-ADMIN";
  Policy policy = Policy::kOpen;
};

Result<FirewallConfig> Parse(const Request& request) {
  const Json tree = TRY(oci::ParseJson(request.config, kInputLimits, "failed to load netconf"));
  const JsonReader root(tree);
  FirewallConfig out;
  if (std::string admin = TRY(root.OptionalString("iptablesAdminChainName")); !admin.empty())
    out.admin = admin;
  if (out.admin.size() > kMaxChainName)
    return Error(Code::kInvalidArgument,
                 StrCat("iptablesAdminChainName: ", Quote(out.admin, 64), ": longer than the ",
                        kMaxChainName, " bytes of an iptables chain"));
  const std::string backend = TRY(root.OptionalString("backend"));
  if (backend == "firewalld")
    return Error(Code::kUnimplemented,
                 "backend \"firewalld\" is not supported: use the reference firewall plugin");
  const std::string policy = TRY(root.OptionalString("ingressPolicy"));
  if (policy == "same-bridge")
    out.policy = Policy::kSameBridge;
  else if (policy == "isolated")
    out.policy = Policy::kIsolated;
  else if (!policy.empty() && policy != "open")
    return Error(Code::kInvalidArgument, StrCat("unknown ingress policy: ", Quote(policy, 64)));
  return out;
}

std::string OwnerOf(const Request& request) {
  return RuleOwner(kPlugin, request.network, {request.container_id, request.ifname});
}

// Rules of one table, by chain.
bool Jumps(const std::vector<NftRuleInfo>& rules, std::string_view chain, std::string_view to) {
  return std::ranges::any_of(
      rules, [&](const NftRuleInfo& rule) { return rule.chain == chain && rule.jump == to; });
}

Result<> AllowIn(Nft& nft, const NftTable& table, bool v6, const FirewallConfig& config,
                 const Request& request) {
  const std::vector<std::string> chains = TRY(nft.Chains(table));
  // Nothing is closed by iptables: there is nothing to open.
  if (std::ranges::find(chains, kForward) == chains.end()) return Ok();
  const std::string owner = OwnerOf(request);
  const std::vector<std::string_view> read{kForward, kPods};
  return nft.Change(table, read, [&](NftBatch& batch, const std::vector<NftRuleInfo>& rules) {
    batch.AddChain(table, kPods);
    batch.AddChain(table, config.admin);
    // What an ADD that was cut short has left.
    for (const NftRuleInfo& rule : rules)
      if (rule.comment == owner) batch.DeleteRule(table, rule.chain, rule.handle);
    if (!Jumps(rules, kForward, kPods))
      batch.Add(table, kForward, NftRule().Counter().Jump(kPods), true);
    if (!Jumps(rules, kPods, config.admin))
      batch.Add(table, kPods, NftRule().Counter().Jump(config.admin), true);
    for (const IpConfig& ip : request.prev_result->ips) {
      const IpAddress& address = ip.address.address;
      if (address.v6 != v6) continue;
      batch.Add(table, kPods,
                NftRule()
                    .PlainDestination(address)
                    .StateMatch(kEstablished)
                    .Counter()
                    .Verdict(NF_ACCEPT)
                    .Comment(owner));
      batch.Add(table, kPods,
                NftRule().PlainSource(address).Counter().Verdict(NF_ACCEPT).Comment(owner));
    }
  });
}

Result<> CloseIn(Nft& nft, const NftTable& table,
                 const std::function<bool(const std::string&)>& gone) {
  return nft.Change(table, {kPods}, [&](NftBatch& batch, const std::vector<NftRuleInfo>& rules) {
    for (const NftRuleInfo& rule : rules)
      if (gone(rule.comment)) batch.DeleteRule(table, rule.chain, rule.handle);
  });
}

void ForwardFrame(NftBatch& batch) {
  batch.AddChain(kBerthTable, "isolation");
  batch.AddChain(kBerthTable, "forward", NftHook{"filter", NF_INET_FORWARD, 0});
}

Result<> Isolate(Nft& nft, const FirewallConfig& config, const Request& request) {
  if (config.policy == Policy::kOpen) return Ok();
  if (request.prev_result->interfaces.empty() || request.prev_result->interfaces[0].name.empty())
    return Error(
        Code::kInvalidArgument,
        "interface needs to be set for ingress policy, make sure to chain \"firewall\" plugin "
        "with \"bridge\"");
  const std::string& bridge = request.prev_result->interfaces[0].name;
  const std::string owner = OwnerOf(request);
  PodRules forward{"forward", {}}, isolation{"isolation", {}};
  if (config.policy == Policy::kIsolated)
    forward.rules.emplace_back().InInterface(bridge).OutInterface(bridge).Verdict(NF_DROP).Comment(
        owner);
  forward.rules.emplace_back()
      .InInterface(bridge)
      .OutInterface(bridge, false)
      .Jump("isolation")
      .Comment(owner);
  isolation.rules.emplace_back().OutInterface(bridge).Verdict(NF_DROP).Comment(owner);
  return AddPodRules(nft, kBerthTable, ForwardFrame, owner, {forward, isolation});
}

// All that can be removed is; the first error is told.
Result<> RemoveOwn(const Request& request) {
  const std::string owner = OwnerOf(request);
  Nft nft = TRY(Nft::Open());
  auto own = [&](const std::string& of) { return of == owner; };
  Result<> done = CloseIn(nft, kFilters[0], own);
  Result<> v6 = CloseIn(nft, kFilters[1], own);
  if (done) done = std::move(v6);
  Result<> isolated = RemovePodRules(nft, kBerthTable, owner, kFrom);
  if (done) done = std::move(isolated);
  nft.Leave();
  return done;
}

Result<> SetUp(const FirewallConfig& config, const Request& request) {
  Nft nft = TRY(Nft::Open());
  for (bool v6 : {false, true}) {
    const bool wanted = std::ranges::any_of(
        request.prev_result->ips, [&](const IpConfig& ip) { return ip.address.address.v6 == v6; });
    if (wanted) TRY(AllowIn(nft, kFilters[v6 ? 1 : 0], v6, config, request));
  }
  TRY(Isolate(nft, config, request));
  nft.Leave();
  return Ok();
}

Result<Outcome> Add(const Request& request) {
  const FirewallConfig config = TRY(Parse(request));
  if (!request.prev_result)
    return Error(Code::kInvalidArgument, "missing prevResult from earlier plugin");
  if (Result<> done = SetUp(config, request); !done) {
    (void)RemoveOwn(request);
    return std::move(done.error());
  }
  return *request.prev_result;
}

// Whatever the configuration says: the rules are found by their owner.
Result<> Del(const Request& request) { return RemoveOwn(request); }

Result<> Check(const Request& request) {
  TRY(Parse(request));
  if (!request.prev_result)
    return Error(Code::kInvalidArgument, "missing prevResult from earlier plugin");
  Nft nft = TRY(Nft::Open());
  const std::string owner = OwnerOf(request);
  for (const IpConfig& ip : request.prev_result->ips) {
    const NftTable& table = kFilters[ip.address.address.v6 ? 1 : 0];
    const std::vector<std::string> chains = TRY(nft.Chains(table));
    if (std::ranges::find(chains, kForward) == chains.end()) continue;
    std::vector<NftRuleInfo> rules = TRY(nft.Rules(table, kPods));
    for (NftRuleInfo& rule : TRY(nft.Rules(table, kForward))) rules.push_back(std::move(rule));
    const auto own = std::ranges::count_if(
        rules, [&](const NftRuleInfo& rule) { return rule.comment == owner; });
    if (own < 2 || !Jumps(rules, kForward, kPods))
      return Error(Code::kInternal,
                   StrCat("expected rules for ", Format(ip.address), " not found"));
  }
  return Ok();
}

Result<> Status(const Request& request) {
  TRY(Parse(request));
  return Ok();
}

Result<> Gc(const Request& request) {
  TRY(Parse(request));
  if (!request.valid_attachments) return Ok();
  const std::string prefix = RuleOwners(kPlugin, request.network);
  std::set<std::string> keep;
  for (const Attachment& each : *request.valid_attachments)
    keep.insert(RuleOwner(kPlugin, request.network, each));
  Nft nft = TRY(Nft::Open());
  for (const NftTable& table : kFilters)
    TRY(CloseIn(nft, table, [&](const std::string& of) {
      return of.starts_with(prefix) && !keep.contains(of);
    }));
  return CollectPodRules(kBerthTable, kPlugin, request.network, *request.valid_attachments, kFrom);
}

}  // namespace

const Plugin kFirewall{"firewall", Add, Del, Check, Status, Gc};

}  // namespace berth::cni
