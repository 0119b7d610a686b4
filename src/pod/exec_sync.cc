// SPDX-License-Identifier: Apache-2.0
// ExecSync: the process of the container's own stored spec, with another command and no terminal.
#include "base/strings.h"
#include "oci/build_spec.h"
#include "oci/spec_json.h"
#include "pod/engine_impl.h"

namespace berth::pod {

namespace {
// The kubelet receives messages of at most 16 MiB: both streams and the rest of the answer.
constexpr size_t kExecOutputLimit = (16u << 20) - 1024;
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
  // What the runtime says of one that it does not have any more, or whose monitor has gone with its pod.
  if (error.code() != Code::kNotFound && error.code() != Code::kUnavailable) return error;
  Result<ContainerPtr> found = FindContainer(id);
  if (!found || !*found || !(*found)->state.Lock()->Ended()) return error;
  return std::move(error)
      .Wrap(StrCat("container ", id, " has ended meanwhile"))
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
