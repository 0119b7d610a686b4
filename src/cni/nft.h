// SPDX-License-Identifier: Apache-2.0
// Berth's own table of rules and its owners. An Nft belongs to one call and speaks to the network namespace in which it was
// opened; one thread.
//
//   table inet berth_cni
//     chain prerouting   nat hook prerouting  fib daddr type local jump hostports
//     chain output       nat hook output      fib daddr type local jump hostports
//     chain hostports    a rule for each host port of a pod                      portmap
//     chain postrouting  nat hook postrouting rules of each pod: masquerade      bridge, ptp (ipMasq), portmap (snat)
//
// A pod's rules carry their owner in the comment, "<plugin> <network> <ifname> <container id>"; they are found by it, never by
// an address, which may belong to another pod by then. Rules without a comment are the table's own. The table goes with the
// last pod's rules.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/nft_message.h"
#include "cni/request.h"

namespace berth::cni {

inline constexpr NftTable kBerthTable{NftFamily::kInet, "berth_cni"};

// Who a rule belongs to. Long names are cut and made unique by a hash: a comment has 127 bytes.
std::string RuleOwner(std::string_view plugin, std::string_view network,
                      const Attachment& attachment);
// What the owners of one plugin's network begin with.
std::string RuleOwners(std::string_view plugin, std::string_view network);

struct NftRuleInfo {
  std::string chain;
  uint64_t handle = 0;
  std::string comment;  // "": none
  std::string jump;     // the chain that it leads to; "": none
};

class Nft {
 public:
  static Result<Nft> Open();

  Result<uint32_t> Generation();
  // None when the table is not there.
  Result<std::vector<NftRuleInfo>> Rules(const NftTable& table);
  Result<> Commit(NftBatch batch);
  // Call it last: who closes a netfilter socket waits, 5 to 10 ms, until what the kernel has put aside is out of use; a child
  // does that instead.
  void Leave();
  os::netlink::Socket& socket() { return socket_; }

  // Names of the table's chains; none when it is not there.
  Result<std::vector<std::string>> Chains(const NftTable& table);

  using Build = std::function<void(NftBatch&, const std::vector<NftRuleInfo>& rules)>;
  // What `build` makes of the table's present rules, as one transaction; made anew when they change meanwhile.
  Result<> Change(const NftTable& table, const Build& build);
  // One transaction: the table is there, the owner's old rules are gone, then what `build` adds.
  Result<> Replace(const NftTable& table, const std::string& owner, const Build& build);
  // Rules whose owner is gone, as `gone` says; the table too when no pod's rule is left. One transaction.
  Result<> Remove(const NftTable& table, const std::function<bool(const std::string& owner)>& gone);

 private:
  explicit Nft(os::netlink::Socket socket) : socket_(std::move(socket)) {}
  os::netlink::Socket socket_;
};

// The chain "postrouting" and its hook.
void AddPostrouting(NftBatch& batch);
// The chains of host ports and what leads to them, as far as they are not among the present rules.
void AddHostPorts(NftBatch& batch, const std::vector<NftRuleInfo>& rules);

// ip saddr <address> ip daddr != <its network> masquerade, for each address; nothing to multicast groups.
Result<> AddMasquerade(std::string_view network, const Attachment& attachment,
                       const std::vector<IpConfig>& ips);
Result<> RemoveMasquerade(std::string_view network, const Attachment& attachment);
Result<> RemoveMasquerade(Nft& nft, std::string_view network, const Attachment& attachment);
// Of the network's attachments that are not in `valid`.
Result<> CollectRules(std::string_view plugin, std::string_view network,
                      const std::vector<Attachment>& valid, const NftTable& table = kBerthTable);
// The owner's rules in a chain of kBerthTable, for CHECK.
Result<size_t> CountRules(const std::string& owner, std::string_view chain);

}  // namespace berth::cni
