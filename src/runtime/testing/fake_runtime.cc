// SPDX-License-Identifier: Apache-2.0
#include "runtime/testing/fake_runtime.h"

#include <signal.h>

#include "base/strings.h"

namespace berth::runtime {

namespace {

Error NoSuch(std::string_view kind, const std::string& id) {
  return Error(Code::kNotFound, StrCat(kind, " ", id, ": not found"));
}

SandboxHandle MakeHandle(const SandboxSpec& spec, int pid) {
  const std::string dir = StrCat("/run/fake/pods/", spec.sandbox_id, "/");
  const std::string proc = StrCat("/proc/", pid, "/ns/");
  SandboxHandle handle;
  handle.monitor_pid = pid;
  if (spec.user_ns) handle.user_ns_path = StrCat("/proc/", pid, "/fd/9");
  if (spec.new_ipc_namespace) handle.ipc_ns_path = proc + "ipc";
  if (spec.new_uts_namespace) handle.uts_ns_path = proc + "uts";
  if (spec.shared_pid_namespace) {
    handle.pid_ns_init = pid + 1;
    handle.pid_ns_path = StrCat("/proc/", pid + 1, "/ns/pid");
  }
  if (spec.shm_bytes > 0) handle.shm_path = dir + "shm";
  handle.resolv_conf_path = dir + "resolv.conf";
  handle.hosts_path = dir + "hosts";
  handle.hostname_path = dir + "hostname";
  return handle;
}

bool EndsProcess(int signal) {
  return signal != 0 && signal != SIGCHLD && signal != SIGCONT && signal != SIGURG &&
         signal != SIGWINCH && signal != SIGSTOP && signal != SIGTSTP;
}

}  // namespace

Result<FakeRuntime::Late> FakeRuntime::Enter(std::string_view call, const std::string& id) const {
  Hook hook;
  {
    auto state = state_.Lock();
    state->calls.push_back({std::string(call), id});
    hook = state->hook;
  }
  if (hook) TRY(hook(call, id));
  auto state = state_.Lock();
  for (auto it = state->failures.begin(); it != state->failures.end(); ++it) {
    if (it->call != call || --it->countdown > 0) continue;
    Error error = std::move(it->error);
    const bool half_done = it->half_done;
    state->failures.erase(it);
    if (!half_done) return error;
    return Late(std::move(error));
  }
  return Late();
}

Result<FakeRuntime::Container*> FakeRuntime::Find(State& state, const std::string& sandbox_id,
                                                  const std::string& container_id) {
  auto sandbox = state.sandboxes.find(sandbox_id);
  if (sandbox == state.sandboxes.end()) return NoSuch("sandbox", sandbox_id);
  auto it = state.containers.find(container_id);
  if (it == state.containers.end() || it->second.sandbox_id != sandbox_id)
    return NoSuch("container", container_id);
  if (!sandbox->second.monitor_alive)
    return Error(Code::kUnavailable, StrCat("monitor of sandbox ", sandbox_id, ": gone"));
  return &it->second;
}

std::vector<HandlerInfo> FakeRuntime::Handlers() const { return state_.Lock()->handlers; }

Result<std::string> FakeRuntime::ResolveHandler(const std::string& handler) const {
  auto state = state_.Lock();
  for (const HandlerInfo& info : state->handlers) {
    if (handler.empty() ? info.is_default : info.name == handler) return info.name;
  }
  return Error(Code::kNotFound, StrCat("runtime handler ", Quote(handler), ": not configured"));
}

Result<os::UserNs> FakeRuntime::MakeUserNs(const os::IdRange& range) {
  TRY(Enter("MakeUserNs", ""));
  os::UserNs made;
  for (os::Fd* ns : {&made.user, &made.network, &made.ipc, &made.uts})
    *ns = TRY(os::MakeMemFile("ns", StrCat(range.outside)));
  return made;
}

Result<os::Fd> FakeRuntime::OpenUserNs(const SandboxHandle& handle) {
  TRY(Enter("OpenUserNs", ""));
  if (handle.user_ns_path.empty()) return Error(Code::kInternal, "no user namespace");
  return os::MakeMemFile("ns", handle.user_ns_path);
}

Result<SandboxHandle> FakeRuntime::StartSandbox(const SandboxSpec& spec) {
  Late late = TRY(Enter("StartSandbox", spec.sandbox_id));
  auto state = state_.Lock();
  if (state->sandboxes.contains(spec.sandbox_id))
    return Error(Code::kAlreadyExists, StrCat("sandbox ", spec.sandbox_id, ": exists"));
  Sandbox sandbox{spec, MakeHandle(spec, state->next_pid), true};
  state->next_pid += 2;
  sandbox.spec.user_ns.reset();
  sandbox.spec.trace = nullptr;
  SandboxHandle handle = sandbox.handle;
  state->sandboxes.emplace(spec.sandbox_id, std::move(sandbox));
  if (late) return std::move(*late);
  return handle;
}

Result<> FakeRuntime::StopSandbox(const std::string& sandbox_id) {
  Late late = TRY(Enter("StopSandbox", sandbox_id));
  std::vector<std::string> running;
  {
    auto state = state_.Lock();
    for (const auto& [id, container] : state->containers) {
      if (container.sandbox_id == sandbox_id) running.push_back(id);
    }
  }
  for (const std::string& id : running) End(id, {.exit_code = 128 + SIGKILL, .signal = SIGKILL});
  auto state = state_.Lock();
  for (const std::string& id : running) state->containers.erase(id);
  std::erase_if(state->sessions, [&](const Session& s) { return s.sandbox_id == sandbox_id; });
  state->sandboxes.erase(sandbox_id);
  if (late) return std::move(*late);
  return Ok();
}

std::string FakeRuntime::RootfsPath(const std::string& sandbox_id,
                                    const std::string& container_id) const {
  return StrCat("/run/fake/pods/", sandbox_id, "/c/", container_id, "/rootfs");
}

std::string FakeRuntime::VolumePath(const std::string& sandbox_id, const std::string& container_id,
                                    size_t index) const {
  return StrCat("/fake/", sandbox_id, "/", container_id, "/volume/", index);
}

Result<int> FakeRuntime::Create(CreateRequest request) {
  Late late = TRY(Enter("Create", request.container_id));
  auto state = state_.Lock();
  auto sandbox = state->sandboxes.find(request.sandbox_id);
  if (sandbox == state->sandboxes.end()) return NoSuch("sandbox", request.sandbox_id);
  if (!sandbox->second.monitor_alive)
    return Error(Code::kUnavailable, StrCat("monitor of sandbox ", request.sandbox_id, ": gone"));
  if (state->containers.contains(request.container_id))
    return Error(Code::kAlreadyExists, StrCat("container ", request.container_id, ": exists"));
  Container container;
  container.sandbox_id = request.sandbox_id;
  container.pid = state->next_pid++;
  container.spec_json = std::move(request.spec_json);
  container.record = std::move(request.record);
  container.terminal = request.terminal;
  container.stdin_open = request.stdin_open;
  container.log_directory = std::move(request.log_directory);
  container.log_path = std::move(request.log_path);
  for (const Volume& volume : request.volumes) container.volumes.push_back(volume.directory);
  const int pid = container.pid;
  state->containers.emplace(request.container_id, std::move(container));
  if (late) return std::move(*late);
  return pid;
}

Result<> FakeRuntime::Start(const std::string& sandbox_id, const std::string& container_id,
                            Trace*) {
  Late late = TRY(Enter("Start", container_id));
  auto state = state_.Lock();
  Container* container = TRY(Find(*state, sandbox_id, container_id));
  if (container->phase != ContainerPhase::kCreated)
    return Error(Code::kFailedPrecondition,
                 StrCat("container ", container_id, ": not in state created"));
  container->phase = ContainerPhase::kRunning;
  if (late) return std::move(*late);
  return Ok();
}

Result<> FakeRuntime::Signal(const std::string& sandbox_id, const std::string& container_id,
                             int signal) {
  Late late = TRY(Enter("Signal", container_id));
  bool ends = false;
  {
    auto state = state_.Lock();
    Container* container = TRY(Find(*state, sandbox_id, container_id));
    if (container->phase == ContainerPhase::kExited) return Ok();
    container->signals.push_back(signal);
    ends = EndsProcess(signal) && !state->ignored.contains({container_id, signal});
  }
  if (ends) End(container_id, {.exit_code = 128 + signal, .signal = signal});
  if (late) return std::move(*late);
  return Ok();
}

Result<> FakeRuntime::Update(const std::string& sandbox_id, const std::string& container_id,
                             const std::string& resources_json, const std::stop_token&) {
  Late late = TRY(Enter("Update", container_id));
  auto state = state_.Lock();
  Container* container = TRY(Find(*state, sandbox_id, container_id));
  if (container->phase == ContainerPhase::kExited)
    return Error(Code::kFailedPrecondition,
                 StrCat("container ", container_id, ": neither created nor running"));
  container->updates.push_back(resources_json);
  if (late) return std::move(*late);
  return Ok();
}

Result<> FakeRuntime::KillAll(const std::string& sandbox_id, const std::string& container_id) {
  Late late = TRY(Enter("KillAll", container_id));
  {
    auto state = state_.Lock();
    TRY(Find(*state, sandbox_id, container_id))->signals.push_back(SIGKILL);
  }
  End(container_id, {.exit_code = 128 + SIGKILL, .signal = SIGKILL});
  if (late) return std::move(*late);
  return Ok();
}

Result<> FakeRuntime::Delete(const std::string& sandbox_id, const std::string& container_id) {
  Late late = TRY(Enter("Delete", container_id));
  {
    auto state = state_.Lock();
    auto it = state->containers.find(container_id);
    if (it == state->containers.end() || it->second.sandbox_id != sandbox_id) return Ok();
  }
  End(container_id, {.exit_code = 128 + SIGKILL, .signal = SIGKILL});
  state_.Lock()->containers.erase(container_id);
  if (late) return std::move(*late);
  return Ok();
}

Result<ExecOutput> FakeRuntime::ExecSync(const ExecRequest& request,
                                         std::chrono::nanoseconds timeout, size_t limit) {
  Late late = TRY(Enter("ExecSync", request.container_id));
  ExecHandler handler;
  {
    auto state = state_.Lock();
    Container* container = TRY(Find(*state, request.sandbox_id, request.container_id));
    if (container->phase != ContainerPhase::kRunning)
      return Error(Code::kFailedPrecondition,
                   StrCat("container ", request.container_id, ": not running"));
    handler = state->exec;
  }
  ExecOutput output;
  if (handler) output = TRY(handler(request, timeout, limit));
  if (late) return std::move(*late);
  return output;
}

Result<> FakeRuntime::ReopenLog(const std::string& sandbox_id, const std::string& container_id,
                                const std::stop_token&) {
  Late late = TRY(Enter("ReopenLog", container_id));
  auto state = state_.Lock();
  Container* container = TRY(Find(*state, sandbox_id, container_id));
  if (container->phase != ContainerPhase::kRunning)
    return Error(Code::kFailedPrecondition, StrCat("container ", container_id, ": not running"));
  if (late) return std::move(*late);
  return Ok();
}

SandboxObservation FakeRuntime::ObserveOne(const State& state, const std::string& id) {
  const Sandbox& sandbox = state.sandboxes.at(id);
  SandboxObservation one;
  one.sandbox_id = id;
  one.unanswered = sandbox.hangs;
  one.monitor_alive = sandbox.monitor_alive && !sandbox.hangs;
  if (one.monitor_alive) one.handle = sandbox.handle;
  for (const auto& [container_id, container] : state.containers) {
    if (container.sandbox_id != id) continue;
    // Of one that says nothing only what was written down is there.
    if (!one.monitor_alive && !container.exit) continue;
    one.containers.push_back({container_id, container.phase, container.pid, container.exit});
  }
  return one;
}

Result<std::vector<SandboxObservation>> FakeRuntime::Observe() {
  Late late = TRY(Enter("Observe", ""));
  if (late) return std::move(*late);
  auto state = state_.Lock();
  std::vector<SandboxObservation> all;
  for (const auto& [id, sandbox] : state->sandboxes) all.push_back(ObserveOne(*state, id));
  return all;
}

Result<RememberedPod> FakeRuntime::Remembered(const std::string& sandbox_id) {
  Late late = TRY(Enter("Remembered", sandbox_id));
  if (late) return std::move(*late);
  auto state = state_.Lock();
  auto sandbox = state->sandboxes.find(sandbox_id);
  if (sandbox == state->sandboxes.end()) return NoSuch("sandbox", sandbox_id);
  RememberedPod pod;
  pod.record = sandbox->second.spec.record;
  for (const auto& [id, container] : state->containers) {
    if (container.sandbox_id == sandbox_id)
      pod.containers.push_back({id, container.record, container.spec_json});
  }
  return pod;
}

}  // namespace berth::runtime
