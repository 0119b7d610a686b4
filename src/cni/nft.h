// SPDX-License-Identifier: Apache-2.0
// nf_tables of the network namespace in which an Nft was opened: what rules are there, and changing them. An Nft belongs to one
// call; one thread. Berth's own tables are in pod_rules.h.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/nft_message.h"

namespace berth::cni {

struct NftRuleInfo {
  std::string chain;
  uint64_t handle = 0;
  std::string comment;  // "": none
  std::string jump;     // the chain that it leads to; "": none
  std::string values;   // ValuesOf its expressions
};

class Nft {
 public:
  static Result<Nft> Open();

  Result<uint32_t> Generation();
  // Of the table, or of one chain of it; none when that is not there. Unavailable when others change rules all the time.
  Result<std::vector<NftRuleInfo>> Rules(const NftTable& table, std::string_view chain = {});
  struct Glance {
    std::vector<NftRuleInfo> rules;
    bool whole = true;  // nothing was changed meanwhile; else some may be missing
  };
  Result<Glance> Look(const NftTable& table, std::string_view chain = {});
  Result<> Commit(NftBatch batch);
  // Call it last: who closes a netfilter socket waits, 5 to 10 ms, until what the kernel has put aside is out of use; a child
  // does that instead.
  void Leave();
  os::netlink::Socket& socket() { return socket_; }

  // Names of the table's chains; none when it is not there.
  Result<std::vector<std::string>> Chains(const NftTable& table);

  using Build = std::function<void(NftBatch&, const std::vector<NftRuleInfo>& rules)>;
  // What `build` makes of the present rules of `chains`, as one transaction; made anew when they change meanwhile.
  // Unavailable when they never cease to.
  Result<> Change(const NftTable& table, const std::vector<std::string_view>& chains,
                  const Build& build);

 private:
  explicit Nft(os::netlink::Socket socket) : socket_(std::move(socket)) {}
  os::netlink::Socket socket_;
};

// The batch was made from what is no longer so.
bool MeansChanged(const Error& error);

}  // namespace berth::cni
