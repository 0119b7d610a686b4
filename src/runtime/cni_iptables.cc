// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_iptables.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace berth::runtime {

namespace {

using Table = std::map<std::string, IptablesRules::Chain>;

// Chains that the plugins make for all their users and never remove. `entry` holds the users'
// rules.
struct SharedGroup {
  std::string_view table;
  std::vector<std::string_view> chains;
  std::string_view entry;
  std::vector<std::string_view> users;  // prefixes of chains that use the group from elsewhere
};

const std::array<SharedGroup, 2>& SharedGroups() {
  static const std::array<SharedGroup, 2> groups{{
      {"nat",
       {"CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-SETMARK"},
       "CNI-HOSTPORT-DNAT",
       {"CNI-DN-"}},
      {"filter", {"CNI-FORWARD", "CNI-ADMIN"}, "CNI-FORWARD", {}},
  }};
  return groups;
}

bool IsOneOf(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The chain or target that a rule jumps to; "" when it has none.
std::string_view TargetOf(std::string_view rule) {
  const size_t at = rule.rfind("-j ");
  if (at == std::string_view::npos || (at > 0 && rule[at - 1] != ' ')) return {};
  const std::string_view rest = rule.substr(at + 3);
  return rest.substr(0, rest.find(' '));
}

// Nobody's rules are in the group: the entry chain is empty but for jumps within the group, an
// operator's chain (CNI-ADMIN) is empty, and no user's chain is there.
bool IsUnused(const SharedGroup& group, const Table& table) {
  for (const auto& [name, chain] : table) {
    const bool in_group = IsOneOf(group.chains, name);
    const bool of_user = std::ranges::any_of(
        group.users, [&](std::string_view prefix) { return name.starts_with(prefix); });
    if (of_user) return false;
    if (in_group && (name == group.entry || name == "CNI-ADMIN") &&
        !std::ranges::all_of(chain.rules, [&](const std::string& rule) {
          return IsOneOf(group.chains, TargetOf(rule));
        }))
      return false;
  }
  return true;
}

void RemoveShared(const SharedGroup& group, const Table& table, const std::set<std::string>& before,
                  std::string& script) {
  for (std::string_view name : group.chains) {
    if (before.contains(StrCat(group.table, "/", name))) return;
  }
  if (!IsUnused(group, table)) return;
  for (const auto& [name, chain] : table) {
    if (IsOneOf(group.chains, name)) continue;
    for (const std::string& rule : chain.rules) {
      if (IsOneOf(group.chains, TargetOf(rule))) script += StrCat("-D ", name, " ", rule, "\n");
    }
  }
  std::string removal;
  for (std::string_view name : group.chains) {
    auto found = table.find(std::string(name));
    if (found == table.end()) continue;
    // One by one, never -F: a rule that somebody adds meanwhile must make the removal of the chain
    // fail.
    for (const std::string& rule : found->second.rules)
      script += StrCat("-D ", name, " ", rule, "\n");
    removal += StrCat("-X ", name, "\n");
  }
  script += removal;
}

// The masquerading plugin marks its rules with: --comment "name: \"<network>\" id: \"<container
// id>\"".
bool IsMasqueradeOf(std::string_view rule, std::string_view network, std::string_view id) {
  std::string mark = StrCat(R"(--comment "name: \")", network, R"(\" id: \")");
  if (!id.empty()) mark += StrCat(id, R"(\")");
  return rule.find(mark) != std::string_view::npos;
}

void RemoveMasquerade(const Table& table, std::string_view network, std::string_view id,
                      std::string& script) {
  auto entry = table.find("POSTROUTING");
  if (entry == table.end()) return;
  std::set<std::string_view> chains;
  for (const std::string& rule : entry->second.rules) {
    const std::string_view target = TargetOf(rule);
    if (!IsMasqueradeOf(rule, network, id) || !target.starts_with("CNI-")) continue;
    script += StrCat("-D POSTROUTING ", rule, "\n");
    chains.insert(target);
  }
  for (std::string_view name : chains) {
    if (table.contains(std::string(name))) script += StrCat("-F ", name, "\n-X ", name, "\n");
  }
}

}  // namespace

Result<IptablesRules> ParseIptablesSave(std::string_view text) {
  IptablesRules out;
  Table* table = nullptr;
  for (std::string_view line : Split(text, '\n')) {
    line = TrimSpace(line);
    auto bad = [&] {
      return Error(Code::kInvalidArgument, StrCat("iptables-save: unexpected line ", Quote(line)));
    };
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with('*')) {
      table = &out.tables[std::string(line.substr(1))];
    } else if (table == nullptr) {
      return bad();
    } else if (line == "COMMIT") {
      table = nullptr;
    } else if (line.starts_with(':')) {
      const std::vector<std::string_view> words = Split(line.substr(1), ' ');
      if (words.size() < 2) return bad();
      (*table)[std::string(words[0])].policy = words[1];
    } else if (line.starts_with("-A ")) {
      const std::string_view rest = line.substr(3);
      const size_t space = rest.find(' ');
      // A rule without match or target is printed as the chain's name alone.
      const std::string_view rule =
          space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
      (*table)[std::string(rest.substr(0, space))].rules.emplace_back(rule);
    } else {
      return bad();
    }
  }
  if (table != nullptr)
    return Error(Code::kInvalidArgument, "iptables-save: the text ends within a table");
  return out;
}

std::set<std::string> SharedNames(const IptablesRules& rules) {
  std::set<std::string> names;
  for (const auto& [name, table] : rules.tables) names.insert(name);
  for (const SharedGroup& group : SharedGroups()) {
    auto table = rules.tables.find(std::string(group.table));
    if (table == rules.tables.end()) continue;
    for (std::string_view chain : group.chains) {
      if (table->second.contains(std::string(chain))) names.insert(StrCat(group.table, "/", chain));
    }
  }
  return names;
}

bool ForwardIsClosed(const IptablesRules& rules) {
  auto filter = rules.tables.find("filter");
  if (filter == rules.tables.end()) return false;
  auto forward = filter->second.find("FORWARD");
  return forward != filter->second.end() && forward->second.policy == "DROP";
}

std::string RemovalScript(const IptablesRules& rules, std::string_view network,
                          std::string_view container_id, bool shared,
                          const std::set<std::string>& before) {
  std::string out;
  for (const auto& [name, table] : rules.tables) {
    std::string script;
    if (name == "nat") RemoveMasquerade(table, network, container_id, script);
    for (const SharedGroup& group : SharedGroups()) {
      if (shared && group.table == name) RemoveShared(group, table, before, script);
    }
    if (!script.empty()) out += StrCat("*", name, "\n", script, "COMMIT\n");
  }
  return out;
}

std::map<std::string, std::vector<std::string>> EmptyTables(const IptablesRules& rules,
                                                            const std::set<std::string>& before) {
  std::map<std::string, std::vector<std::string>> out;
  for (const auto& [name, table] : rules.tables) {
    if (before.contains(name)) continue;
    const bool empty = std::ranges::all_of(table, [](const auto& entry) {
      return entry.second.policy == "ACCEPT" && entry.second.rules.empty();
    });
    if (!empty) continue;
    for (const auto& [chain, unused] : table) out[name].push_back(chain);
  }
  return out;
}

}  // namespace berth::runtime
