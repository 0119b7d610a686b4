// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_chain.h"

#include "base/fail_point.h"
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

Result<std::string> CniChain::Run(size_t index, const char* command, const CniTarget* target,
                                  const oci::PluginInput& input) const {
  const oci::CniPlugin& plugin = list_.plugins[index];
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
  return plugins_.Run(plugin.type, programs_[index], call, text);
}

Result<oci::CniResult> CniChain::Add(const CniTarget& target, const Step& step) const {
  oci::CniResult last;
  bool first = true;
  for (size_t i = 0; i < list_.plugins.size(); ++i) {
    oci::PluginInput input = Input();
    input.runtime = &target.runtime;
    if (!first) input.prev_result = last.raw;
    const std::string printed =
        TRY(FAIL_STEP("network.add", Traced(target.trace, StrCat("cni ADD ", list_.plugins[i].type),
                                            [&] { return Run(i, "ADD", &target, input); })));
    // Assigned after the call: input.prev_result points into the old value.
    last = TRY(oci::ParseCniResult(printed, list_.cni_version),
               StrCat("cni ADD: plugin ", Quote(list_.plugins[i].type), ": result"));
    first = false;
    TRY(step(last.raw));
  }
  return last;
}

Result<> CniChain::Del(const CniTarget& target, const std::optional<std::string>& cached) const {
  for (size_t i = list_.plugins.size(); i-- > 0;) {
    oci::PluginInput input = Input();
    input.runtime = &target.runtime;
    if (cached && AtLeast("0.4.0")) input.prev_result = *cached;
    TRY(FAIL_STEP("network.del", Run(i, "DEL", &target, input)));
  }
  return Ok();
}

Result<> CniChain::Check(const CniTarget& target, const std::string& cached) const {
  if (!AtLeast("0.4.0"))
    return Error(Code::kUnimplemented, StrCat("cni network ", list_.name, ": version ",
                                              list_.cni_version, " has no CHECK"));
  if (list_.disable_check) return Ok();
  for (size_t i = 0; i < list_.plugins.size(); ++i) {
    oci::PluginInput input = Input();
    input.runtime = &target.runtime;
    input.prev_result = cached;
    TRY(Run(i, "CHECK", &target, input));
  }
  return Ok();
}

Result<> CniChain::Status() const {
  if (!AtLeast("1.1.0")) return Ok();
  for (size_t i = 0; i < list_.plugins.size(); ++i) TRY(Run(i, "STATUS", nullptr, Input()));
  return Ok();
}

Result<> CniChain::Gc(const std::vector<oci::CniAttachment>& valid) const {
  if (!AtLeast("1.1.0") || list_.disable_gc) return Ok();
  Result<> first = Ok();
  for (size_t i = 0; i < list_.plugins.size(); ++i) {
    oci::PluginInput input = Input();
    input.valid_attachments = valid;
    Result<std::string> done = Run(i, "GC", nullptr, input);
    if (!done && first) first = std::move(done.error());
  }
  return first;
}

Result<> CniChain::CheckVersions() const {
  const std::string input = StrCat(R"({"cniVersion":")", list_.cni_version, R"("})");
  for (size_t i = 0; i < list_.plugins.size(); ++i) {
    const oci::CniPlugin& plugin = list_.plugins[i];
    // Berth's own support every version that Berth does.
    if (programs_[i] == kNativeProgram) continue;
    CniCall call;
    call.command = "VERSION";
    Result<std::string> printed = plugins_.Run(plugin.type, programs_[i], call, input);
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
