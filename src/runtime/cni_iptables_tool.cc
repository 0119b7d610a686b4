// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_iptables_tool.h"

#include <unistd.h>

#include <array>
#include <chrono>

#include "base/strings.h"
#include "os/process.h"
#include "runtime/cni_links.h"

namespace berth::runtime {

namespace {

constexpr std::array<std::string_view, 6> kPath{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                                "/usr/bin",        "/sbin",          "/bin"};
// Many pods' rules, or a kube-proxy's.
constexpr size_t kMaxRulesBytes = 64U << 20;

Result<std::string> RunTool(std::string_view name, std::vector<std::string> args,
                            const std::string& input) {
  os::RunOptions run;
  for (std::string_view dir : kPath) {
    run.spawn.path = StrCat(dir, "/", name);
    if (::access(run.spawn.path.c_str(), X_OK) == 0) break;
    run.spawn.path.clear();
  }
  if (run.spawn.path.empty())
    return Error(Code::kNotFound, StrCat(name, ": not found; the default network needs iptables"));
  args.insert(args.begin(), std::string(name));
  run.spawn.args = std::move(args);
  run.spawn.env = {StrCat("PATH=", kPath[0], ":", kPath[1], ":", kPath[2], ":", kPath[3], ":",
                          kPath[4], ":", kPath[5])};
  run.spawn.new_session = true;
  run.input = input;
  run.timeout = std::chrono::seconds(30);
  run.output_limit = kMaxRulesBytes;
  os::RunOutput output = TRY(os::Run(run), name);
  if (!output.status.ok())
    return Error(Code::kInternal, StrCat(name, ": ", os::Describe(output.status), ": ",
                                         Quote(TrimSpace(output.err), 512)));
  return std::move(output.out);
}

}  // namespace

Result<IptablesRules> SaveIptables(IpFamily family) {
  const std::string text =
      TRY(RunTool(family == IpFamily::kV4 ? "iptables-save" : "ip6tables-save", {}, ""));
  return ParseIptablesSave(text);
}

Result<> RemoveFromIptables(IpFamily family, std::string_view network,
                            std::string_view container_id, bool shared,
                            const std::set<std::string>& before) {
  Result<IptablesRules> rules = SaveIptables(family);
  if (!rules && rules.error().code() == Code::kNotFound) return Ok();
  if (!rules) return std::move(rules.error());
  const std::string script = RemovalScript(*rules, network, container_id, shared, before);
  if (!script.empty()) {
    TRY(RunTool(family == IpFamily::kV4 ? "iptables-restore" : "ip6tables-restore",
                {"-w", "5", "--noflush"}, script));
    if (shared) *rules = TRY(SaveIptables(family));
  }
  if (!shared) return Ok();
  const NftFamily nft = family == IpFamily::kV4 ? NftFamily::kIpv4 : NftFamily::kIpv6;
  for (const auto& [table, chains] : EmptyTables(*rules, before))
    TRY(DeleteEmptyNftTable(nft, table, chains));
  return Ok();
}

}  // namespace berth::runtime
