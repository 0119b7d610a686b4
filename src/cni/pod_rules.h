// SPDX-License-Identifier: Apache-2.0
// Berth's own tables of rules: whose rules are where, adding and removing those of one pod. Free functions; one thread.
//
//   table inet berth_cni
//     chain prerouting   nat hook prerouting   fib daddr type local jump hostports
//     chain output       nat hook output       fib daddr type local jump hostports
//     chain postrouting  nat hook postrouting  jump hairpin; jump masquerade
//     chain forward      filter hook forward
//     chain hostports    portmap                      +
//     chain hairpin      portmap, snat and masqAll    |  a jump for each owner, to <this chain>-<hash of the owner>,
//     chain masquerade   bridge and ptp, ipMasq       |  which has the owner's rules
//     chain forward      firewall, ingressPolicy      |
//     chain isolation    firewall                     +
//   table bridge berth_cni
//     chain prerouting   filter hook prerouting, macspoofchk: the same
//
// The name of an owner's chain follows from the owner, "<plugin> <network> <ifname> <container id>", which is also the comment
// of its rules. ADD is one transaction that needs to know nothing of what is there; DEL looks only at the jumps. An address is
// never searched for: it may belong to another pod by then. The table goes with the last owner.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/nft.h"
#include "cni/request.h"
#include "cni/result.h"

namespace berth::cni {

inline constexpr NftTable kBerthTable{NftFamily::kInet, "berth_cni"};
inline constexpr NftTable kBerthBridgeTable{NftFamily::kBridged, "berth_cni"};

// Long names are cut and made unique by a hash: a comment has 127 bytes.
std::string RuleOwner(std::string_view plugin, std::string_view network,
                      const Attachment& attachment);
// What the owners of one plugin's network begin with.
std::string RuleOwners(std::string_view plugin, std::string_view network);

// The rules of one owner below one of the chains that jump: `from`.
struct PodRules {
  std::string_view from;
  std::vector<NftRule> rules;
};
// Chains with hooks and what they lead to; each succeeds if it is there.
using Frame = void (*)(NftBatch&);
void NatFrame(NftBatch& batch);

// The owner's old rules are replaced.
Result<> AddPodRules(Nft& nft, const NftTable& table, Frame frame, const std::string& owner,
                     const std::vector<PodRules>& parts);
// None is success. Unavailable when others change rules all the time.
Result<> RemovePodRules(Nft& nft, const NftTable& table, const std::string& owner,
                        const std::vector<std::string_view>& from);
// Those of the network's attachments that are not in `valid`.
Result<> CollectPodRules(const NftTable& table, std::string_view plugin, std::string_view network,
                         const std::vector<Attachment>& valid,
                         const std::vector<std::string_view>& from);
// Each of `parts` is there, reached and as it would be added now.
Result<bool> HasPodRules(Nft& nft, const NftTable& table, const std::string& owner,
                         const std::vector<PodRules>& parts);

// ip saddr <address> ip daddr != <its network> masquerade, for each address; nothing to multicast groups.
Result<> AddMasquerade(std::string_view network, const Attachment& attachment,
                       const std::vector<IpConfig>& ips);
Result<> RemoveMasquerade(Nft& nft, std::string_view network, const Attachment& attachment);
Result<> RemoveMasquerade(std::string_view network, const Attachment& attachment);
Result<> CollectMasquerades(std::string_view network, const std::vector<Attachment>& valid);

}  // namespace berth::cni
