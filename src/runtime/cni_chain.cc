// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_chain.h"

#include "base/log.h"
#include "base/strings.h"

namespace berth::runtime {

bool CniChain::AtLeast(std::string_view version) const {
  return oci::CompareCniVersions(list_.cni_version, version) >= 0;
}

oci::PluginInput CniChain::Input() const {
  oci::PluginInput input;
  input.name = list_.name;
  input.cni_version = list_.cni_version;
  return input;
}

Result<std::string> CniChain::Run(const oci::CniPlugin& plugin, const char* command,
                                  const CniTarget* target, const oci::PluginInput& input) const {
  CniCall call;
  call.command = command;
  if (target != nullptr) {
    call.container_id = target->container_id;
    call.netns = target->netns;
    call.ifname = target->ifname;
    call.args = target->args;
  }
  const std::string text =
      TRY(oci::BuildPluginInput(plugin, input), StrCat("cni plugin ", Quote(plugin.type)));
  return plugins_.Run(plugin.type, call, text);
}

Result<oci::CniResult> CniChain::Add(const CniTarget& target, const Step& step) const {
  oci::CniResult last;
  bool first = true;
  for (const oci::CniPlugin& plugin : list_.plugins) {
    oci::PluginInput input = Input();
    input.runtime = &target.runtime;
    if (!first) input.prev_result = last.raw;
    const std::string printed = TRY(Run(plugin, "ADD", &target, input));
    // Assigned after the call: input.prev_result points into the old value.
    last = TRY(oci::ParseCniResult(printed, list_.cni_version),
               StrCat("cni ADD: plugin ", Quote(plugin.type), ": result"));
    first = false;
    TRY(step(last.raw));
  }
  return last;
}

Result<> CniChain::Del(const CniTarget& target, const std::optional<std::string>& cached) const {
  for (auto plugin = list_.plugins.rbegin(); plugin != list_.plugins.rend(); ++plugin) {
    oci::PluginInput input = Input();
    input.runtime = &target.runtime;
    if (cached && AtLeast("0.4.0")) input.prev_result = *cached;
    TRY(Run(*plugin, "DEL", &target, input));
  }
  return Ok();
}

Result<> CniChain::Check(const CniTarget& target, const std::string& cached) const {
  if (!AtLeast("0.4.0"))
    return Error(Code::kUnimplemented, StrCat("cni network ", list_.name, ": version ",
                                              list_.cni_version, " has no CHECK"));
  if (list_.disable_check) return Ok();
  for (const oci::CniPlugin& plugin : list_.plugins) {
    oci::PluginInput input = Input();
    input.runtime = &target.runtime;
    input.prev_result = cached;
    TRY(Run(plugin, "CHECK", &target, input));
  }
  return Ok();
}

Result<> CniChain::Status() const {
  if (!AtLeast("1.1.0")) return Ok();
  for (const oci::CniPlugin& plugin : list_.plugins) TRY(Run(plugin, "STATUS", nullptr, Input()));
  return Ok();
}

Result<> CniChain::Gc(const std::vector<oci::CniAttachment>& valid) const {
  if (!AtLeast("1.1.0") || list_.disable_gc) return Ok();
  Result<> first = Ok();
  for (const oci::CniPlugin& plugin : list_.plugins) {
    oci::PluginInput input = Input();
    input.valid_attachments = valid;
    Result<std::string> done = Run(plugin, "GC", nullptr, input);
    if (!done && first) first = std::move(done.error());
  }
  return first;
}

Result<> CniChain::CheckVersions() const {
  const std::string input = StrCat(R"({"cniVersion":")", list_.cni_version, R"("})");
  for (const oci::CniPlugin& plugin : list_.plugins) {
    CniCall call;
    call.command = "VERSION";
    Result<std::string> printed = plugins_.Run(plugin.type, call, input);
    if (!printed && printed.error().code() == Code::kFailedPrecondition)
      return std::move(printed.error());
    Result<oci::CniVersionInfo> info =
        printed ? oci::ParseCniVersionInfo(*printed)
                : Result<oci::CniVersionInfo>(std::move(printed.error()));
    if (!info) {
      LogDebug(StrCat("cni plugin ", Quote(plugin.type),
                      ": no usable VERSION: ", info.error().message()));
      continue;
    }
    if (!info->Supports(list_.cni_version))
      return Error(Code::kFailedPrecondition,
                   StrCat("cni plugin ", Quote(plugin.type), ": does not support version ",
                          list_.cni_version, " of network ", list_.name));
  }
  return Ok();
}

}  // namespace berth::runtime
