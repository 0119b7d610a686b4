// SPDX-License-Identifier: Apache-2.0
// What the reference CNI plugins leave in iptables after the last DEL, found in the text of
// iptables-save(8). Pure. Used by CniDefaultNetwork only; any thread.
//
// Tried with the plugins 1.1.1, one pod with bridge (ipMasq) and portmap, and firewall:
//   the pod's own chains                                                                   go at DEL
//   nat     CNI-HOSTPORT-DNAT, -MASQ, -SETMARK (empty, or fixed rules), the jumps to them  stay
//   filter  CNI-FORWARD, CNI-ADMIN and the jump to them                                    stay
//   nat     CNI-<hash> of ipMasq, when DEL is run without the network namespace            stays
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::runtime {

// One family's rules: table -> chain -> rules, each rule as iptables-save prints it, without "-A
// <chain> ".
struct IptablesRules {
  struct Chain {
    std::string policy;  // "ACCEPT", "DROP"; "-" for a chain that is not built in
    std::vector<std::string> rules;
  };
  std::map<std::string, std::map<std::string, Chain>> tables;
};

// InvalidArgument quoting a line that iptables-save does not print.
Result<IptablesRules> ParseIptablesSave(std::string_view text);

// "nat" for each table, "nat/CNI-HOSTPORT-DNAT" for each shared chain that is there. Kept from
// before the first pod.
std::set<std::string> SharedNames(const IptablesRules& rules);

// True when packets to pods are dropped unless a rule lets them pass: the policy of filter/FORWARD.
bool ForwardIsClosed(const IptablesRules& rules);

// Input for `iptables-restore --noflush` that removes
//   - the masquerading chains of `network` (of every pod: call it when none is left; or of the one
//     container id), and
//   - with `shared`, the shared chains that are in use by nobody and whose names are not in `before`.
// "" when there is nothing to remove. Each table is one transaction: if a chain got a rule meanwhile,
// nothing is done.
std::string RemovalScript(const IptablesRules& rules, std::string_view network,
                          std::string_view container_id, bool shared,
                          const std::set<std::string>& before);

// Tables not in `before` in which only built-in chains without rules and with policy ACCEPT are
// left -> those chains.
std::map<std::string, std::vector<std::string>> EmptyTables(const IptablesRules& rules,
                                                            const std::set<std::string>& before);

}  // namespace berth::runtime
