// SPDX-License-Identifier: Apache-2.0
#include "cni/spoof_check.h"

#include <linux/netfilter.h>
#include <linux/netfilter_bridge.h>

#include "cni/pod_rules.h"

namespace berth::cni {

namespace {

constexpr std::string_view kPlugin = "macspoofchk";
constexpr int kPriority = -300;
const std::vector<std::string_view> kFrom{"prerouting"};

void PortFrame(NftBatch& batch) {
  batch.AddChain(kBerthBridgeTable, "prerouting", NftHook{"filter", NF_BR_PRE_ROUTING, kPriority});
}

PodRules RulesFor(const std::string& owner, const std::string& port, std::string_view mac) {
  PodRules part{"prerouting", {}};
  part.rules.emplace_back()
      .InInterface(port)
      .EtherSource(mac, false)
      .Verdict(NF_DROP)
      .Comment(owner);
  return part;
}

}  // namespace

Result<> AddSpoofCheck(std::string_view network, const Attachment& attachment,
                       const std::string& port, std::string_view mac) {
  Nft nft = TRY(Nft::Open());
  const std::string owner = RuleOwner(kPlugin, network, attachment);
  return AddPodRules(nft, kBerthBridgeTable, PortFrame, owner, {RulesFor(owner, port, mac)});
}

Result<bool> HasSpoofCheck(std::string_view network, const Attachment& attachment,
                           const std::string& port, std::string_view mac) {
  Nft nft = TRY(Nft::Open());
  const std::string owner = RuleOwner(kPlugin, network, attachment);
  return HasPodRules(nft, kBerthBridgeTable, owner, {RulesFor(owner, port, mac)});
}

Result<> RemoveSpoofCheck(std::string_view network, const Attachment& attachment) {
  Nft nft = TRY(Nft::Open());
  return RemovePodRules(nft, kBerthBridgeTable, RuleOwner(kPlugin, network, attachment), kFrom);
}

Result<> CollectSpoofChecks(std::string_view network, const std::vector<Attachment>& valid) {
  return CollectPodRules(kBerthBridgeTable, kPlugin, network, valid, kFrom);
}

}  // namespace berth::cni
