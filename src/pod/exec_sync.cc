// SPDX-License-Identifier: Apache-2.0
// ExecSync: the process of the container's own stored spec, with another command and no terminal.
#include "base/strings.h"
#include "oci/build_spec.h"
#include "oci/command_error.h"
#include "oci/spec_json.h"
#include "pod/engine_impl.h"

namespace berth::pod {

namespace {
// The kubelet receives messages of at most 16 MiB: both streams and the rest of the answer.
constexpr size_t kExecOutputLimit = (16u << 20) - 1024;
constexpr std::chrono::milliseconds kExitIsTold{300};
}  // namespace

Result<ContainerRecord> Engine::Impl::NeedRunning(const std::string& id, std::string_view what) {
  ContainerPtr container = TRY(NeedContainer(id), what);
  auto state = container->state.Lock();
  if (state->record.phase != ContainerPhase::kRunning) {
    return Error(Code::kFailedPrecondition,
                 StrCat(what, ": container ", container->id, " is not running"));
  }
  return state->record;
}

Error Engine::Impl::IfEnded(const std::string& id, Error error) {
  // OCI runtimes say in many ways that a container has ended under them; a command that is not there is none of them.
  const Code code = error.code();
  const bool perhaps = code == Code::kNotFound || code == Code::kUnavailable ||
                       code == Code::kInternal || code == Code::kFailedPrecondition;
  if (!perhaps || oci::IsCommandError(error.message())) return error;
  Result<ContainerPtr> found = FindContainer(id);
  if (!found) return error;
  if (!*found)
    return std::move(error).Wrap("the container was removed meanwhile").WithCode(Code::kNotFound);
  auto state = (*found)->state.Lock();
  // The exit may be on its way to us.
  const bool ended = (*found)->state.WaitFor(state, kExitIsTold, [](const auto& s) {
    return s.Ended() || s.stop.active || s.op == ContainerObject::Op::kRemoving ||
           s.record.phase == ContainerPhase::kUnknown;
  });
  if (!ended) return error;
  return std::move(error)
      .Wrap("the container has ended meanwhile")
      .WithCode(Code::kFailedPrecondition);
}

Result<runtime::ExecOutput> Engine::Impl::ExecSync(const Call& call, const std::string& id,
                                                   const std::vector<std::string>& command,
                                                   std::chrono::nanoseconds timeout) {
  if (command.empty()) return Error(Code::kInvalidArgument, "exec: the command is empty");
  if (timeout.count() < 0) return Error(Code::kInvalidArgument, "exec: the timeout is negative");
  ContainerRecord record = TRY(NeedRunning(id, "exec"));
  const std::string who = StrCat("exec in container ", record.id);
  oci::Spec spec = TRY(oci::ParseSpec(record.spec_json), who);
  oci::SpecProcess process = TRY(oci::BuildExecProcess(spec, command, false), who);
  runtime::ExecRequest request;
  request.sandbox_id = record.sandbox_id;
  request.container_id = record.id;
  request.process_json = TRY(oci::ProcessToJson(process), who);
  request.cancelled = call.cancelled;
  Result<runtime::ExecOutput> output = d.runtime.ExecSync(request, timeout, kExecOutputLimit);
  if (!output) return IfEnded(record.id, std::move(output.error()));
  return output;
}

}  // namespace berth::pod
