// SPDX-License-Identifier: Apache-2.0
// Exec, Attach and PortForward: checked when they are asked for, checked again and started when the client's streams
// are there.
#include "base/fail_point.h"
#include "base/strings.h"
#include "oci/build_spec.h"
#include "oci/spec_json.h"
#include "pod/engine_impl.h"

namespace berth::pod {

namespace {

// Bounds what a token stands for.
constexpr size_t kMostPorts = 64;

template <class Options>
Result<> CheckStreams(const Options& options, std::string_view what) {
  if (options.tty && options.std_err)
    return Error(
        Code::kInvalidArgument,
        StrCat(what, ": a terminal has no stderr apart: tty and stderr exclude each other"));
  if (!options.std_in && !options.std_out && !options.std_err)
    return Error(Code::kInvalidArgument,
                 StrCat(what, ": none of stdin, stdout and stderr is asked for"));
  return Ok();
}

template <class Options>
runtime::StreamsWanted Wanted(const Options& options) {
  return {options.std_in, options.std_out, options.std_err};
}

}  // namespace

Result<ExecOptions> Engine::CheckExec(ExecOptions options) {
  TRY(CheckStreams(options, "exec"));
  if (options.command.empty()) return Error(Code::kInvalidArgument, "exec: the command is empty");
  options.container_id = TRY(impl_->NeedRunning(options.container_id, "exec")).id;
  return options;
}

Result<runtime::SessionStreams> Engine::StartExec(const ExecOptions& options) {
  return impl_->StartExec(options);
}

Result<runtime::SessionStreams> Engine::Impl::StartExec(const ExecOptions& options) {
  ContainerRecord record = TRY(NeedRunning(options.container_id, "exec"));
  const std::string who = StrCat("exec in container ", record.id);
  oci::Spec spec = TRY(oci::ParseSpec(record.spec_json), who);
  oci::SpecProcess process = TRY(oci::BuildExecProcess(spec, options.command, options.tty), who);
  runtime::ExecRequest request;
  request.sandbox_id = record.sandbox_id;
  request.container_id = record.id;
  request.process_json = TRY(oci::ProcessToJson(process), who);
  request.terminal = options.tty;
  Result<runtime::SessionStreams> streams = d.runtime.StartExec(request, Wanted(options));
  if (!streams) return IfEnded(record.id, std::move(streams.error()).Wrap(who));
  return streams;
}

Result<AttachOptions> Engine::CheckAttach(AttachOptions options) {
  TRY(CheckStreams(options, "attach"));
  options.container_id = TRY(impl_->NeedRunning(options.container_id, "attach")).id;
  return options;
}

Result<runtime::SessionStreams> Engine::StartAttach(const AttachOptions& options) {
  ContainerRecord record = TRY(impl_->NeedRunning(options.container_id, "attach"));
  Result<runtime::SessionStreams> streams = FAIL_STEP(
      "session.attach", impl_->d.runtime.Attach(record.sandbox_id, record.id, Wanted(options)));
  if (!streams) return impl_->IfEnded(record.id, std::move(streams.error()));
  return streams;
}

Result<SandboxRecord> Engine::Impl::NeedReady(const std::string& id, std::string_view what) {
  SandboxPtr sandbox = TRY(NeedSandbox(id), what);
  auto state = sandbox->state.Lock();
  if (state->record.phase != SandboxPhase::kReady)
    return Error(Code::kFailedPrecondition,
                 StrCat(what, ": pod sandbox ", sandbox->id, " is not ready"));
  return state->record;
}

Result<PortForwardOptions> Engine::CheckPortForward(PortForwardOptions options) {
  if (options.ports.size() > kMostPorts)
    return Error(Code::kInvalidArgument,
                 StrCat("port-forward: ", options.ports.size(), " ports, at most ", kMostPorts));
  for (int32_t port : options.ports)
    if (port < 1 || port > UINT16_MAX)
      return Error(Code::kInvalidArgument, StrCat("port-forward: port ", port));
  options.sandbox_id = TRY(impl_->NeedReady(options.sandbox_id, "port-forward")).id;
  return options;
}

// The node's own network is what a pod in it has.
Result<os::Fd> Engine::StartPortForward(const PortForwardOptions& options) {
  SandboxRecord record = TRY(impl_->NeedReady(options.sandbox_id, "port-forward"));
  os::Fd netns;
  if (record.config.security.namespaces.network != NamespaceMode::kNode)
    netns = TRY(impl_->d.network.OpenNs(record.id), "port-forward");
  return FAIL_STEP("session.dialer", impl_->d.runtime.OpenDialer(record.id, std::move(netns)));
}

}  // namespace berth::pod
