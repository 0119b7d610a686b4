// SPDX-License-Identifier: Apache-2.0
#include "cni/spoof_check.h"

#include <linux/netfilter.h>
#include <linux/netfilter_bridge.h>

#include "cni/nft.h"

namespace berth::cni {

namespace {

constexpr NftTable kTable{NftFamily::kBridge, "berth_cni"};
constexpr std::string_view kPlugin = "macspoofchk";
constexpr int kPriority = -300;

}  // namespace

Result<> AddSpoofCheck(std::string_view network, const Attachment& attachment,
                       const std::string& port, std::string_view mac) {
  Nft nft = TRY(Nft::Open());
  const std::string owner = RuleOwner(kPlugin, network, attachment);
  return nft.Replace(kTable, owner, [&](NftBatch& batch, const std::vector<NftRuleInfo>&) {
    batch.AddChain(kTable, "prerouting", NftHook{"filter", NF_BR_PRE_ROUTING, kPriority});
    batch.Add(kTable, "prerouting",
              NftRule().InInterface(port).EtherSource(mac, false).Verdict(NF_DROP).Comment(owner));
  });
}

Result<> RemoveSpoofCheck(std::string_view network, const Attachment& attachment) {
  Nft nft = TRY(Nft::Open());
  const std::string owner = RuleOwner(kPlugin, network, attachment);
  return nft.Remove(kTable, [&](const std::string& of) { return of == owner; });
}

Result<> CollectSpoofChecks(std::string_view network, const std::vector<Attachment>& valid) {
  return CollectRules(kPlugin, network, valid, kTable);
}

}  // namespace berth::cni
