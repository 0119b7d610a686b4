// SPDX-License-Identifier: Apache-2.0
// What is found after a restart, and undoing pods whose monitor is gone.
#include <algorithm>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "runtime/monitor_runtime.h"
#include "runtime/sandbox_files.h"

namespace berth::runtime {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kGrace{10'000};
constexpr milliseconds kEnd{5'000};  // between the last answer of a monitor and its end

ExitRecord ToRecord(const monitor::Exit& exit) {
  return {static_cast<int>(exit.code), static_cast<int>(exit.signal), exit.oom_killed,
          exit.finished_at};
}

ContainerPhase ToPhase(monitor::Phase phase) {
  switch (phase) {
    case monitor::Phase::kCreated:
      return ContainerPhase::kCreated;
    case monitor::Phase::kRunning:
      return ContainerPhase::kRunning;
    case monitor::Phase::kExited:
      break;
  }
  return ContainerPhase::kExited;
}

// What a dead monitor has written down. One record that cannot be read is that container's loss alone.
Result<std::vector<ContainerObservation>> ReadExits(const os::DirFd& pod) {
  std::vector<ContainerObservation> all;
  os::DirFd exits = TRY(pod.MakeOrOpenDir(monitor::kExitsDir, 0700));
  for (const std::string& name : TRY(exits.List())) {
    if (!monitor::IsPlainId(name)) continue;  // a temporary file
    Result<std::string> text = exits.ReadFile(name, 256);
    Result<monitor::Exit> exit =
        text ? monitor::ExitFromText(*text) : Result<monitor::Exit>(std::move(text.error()));
    if (!exit) {
      LogError(StrCat("exit record of container ", name, ": ", exit.error().message()));
      continue;
    }
    ContainerObservation one;
    one.container_id = name;
    one.phase = ContainerPhase::kExited;
    one.exit = ToRecord(*exit);
    all.push_back(std::move(one));
  }
  return all;
}

std::string ReadOrNothing(const os::DirFd& dir, const std::string& name) {
  constexpr size_t kLimit = 16U << 20;
  Result<std::string> text = dir.ReadFile(name, kLimit);
  return text ? std::move(*text) : std::string();
}

// Of execs that the daemon before us has written down and not begun: nobody would remove them while the pod lives.
void RemoveLostExecs(const os::DirFd& pod) {
  auto remove = [&]() -> Result<> {
    const os::DirFd calls = TRY(pod.MakeOrOpenDir(monitor::kCallsDir, 0700));
    for (const std::string& name : TRY(calls.List()))
      if (name.ends_with(".json") || name.starts_with(".berth-tmp-")) TRY(calls.RemoveFile(name));
    return Ok();
  };
  if (Result<> removed = remove(); !removed) LogWarn(removed.error().message());
}

}  // namespace

Result<SandboxObservation> MonitorRuntime::ObserveOne(const std::string& sandbox_id) {
  SandboxObservation observation;
  observation.sandbox_id = sandbox_id;
  os::DirFd pod = TRY(OpenPod(sandbox_id));
  Result<std::shared_ptr<MonitorClient>> client =
      MonitorClient::Connect(pod, config_.connect_timeout);
  if (!client) {
    if (client.error().code() != Code::kNotFound && client.error().code() != Code::kUnavailable)
      return std::move(client.error());
    observation.containers = TRY(ReadExits(pod));
    return observation;
  }
  const monitor::HelloAnswer& hello = (*client)->hello();
  observation.monitor_alive = true;
  RemoveLostExecs(pod);
  if (hello.set_up) observation.handle = HandleOf(sandbox_id, pod, hello);
  for (const monitor::ContainerState& c : hello.containers) {
    ContainerObservation one{c.container_id, ToPhase(c.phase), static_cast<int>(c.pid), {}};
    if (c.exit) one.exit = ToRecord(*c.exit);
    observation.containers.push_back(std::move(one));
  }
  Adopt(sandbox_id, *client, {});
  return observation;
}

void MonitorRuntime::ReportRecordedExits(const std::string& sandbox_id, const os::DirFd& pod) {
  std::function<void(ContainerExited)> exited = state_.Lock()->sink.exited;
  Result<std::vector<ContainerObservation>> exits = ReadExits(pod);
  if (!exits) LogError(StrCat("sandbox ", sandbox_id, ": ", exits.error().message()));
  if (!exits || !exited) return;
  for (const ContainerObservation& one : *exits) exited({sandbox_id, one.container_id, *one.exit});
}

Result<std::vector<SandboxObservation>> MonitorRuntime::Observe() {
  std::vector<SandboxObservation> all;
  for (const std::string& name : TRY(pods_dir_.List(), "state directory")) {
    if (!monitor::IsPlainId(name)) continue;
    Result<SandboxObservation> one = ObserveOne(name);
    if (!one) {
      // Still there, so it is named: nothing is known of it but that it can be stopped.
      LogError(StrCat("sandbox ", name, ": ", one.error().message()));
      SandboxObservation unknown;
      unknown.sandbox_id = name;
      all.push_back(std::move(unknown));
      continue;
    }
    all.push_back(std::move(*one));
  }
  return all;
}

Result<RememberedPod> MonitorRuntime::Remembered(const std::string& sandbox_id) {
  const os::DirFd pod = TRY(OpenPod(sandbox_id));
  RememberedPod all;
  all.record = ReadOrNothing(pod, kRecordFile);
  Result<os::DirFd> containers = pod.OpenDir(monitor::kContainersDir);
  if (!containers) return all;
  for (const std::string& id : TRY(containers->List())) {
    if (!monitor::IsPlainId(id)) continue;
    RememberedPod::Container one;
    one.container_id = id;
    one.record = ReadOrNothing(*containers, StrCat(id, "/", kRecordFile));
    one.spec_json = WithoutSeccompProgram(ReadOrNothing(*containers, StrCat(id, "/config.json")));
    all.containers.push_back(std::move(one));
  }
  return all;
}

// What the pod's own file says; if that cannot be read, whoever has a record of the container. Null: nobody has.
Result<const OciHandler*> MonitorRuntime::HandlerOf(const os::DirFd& pod,
                                                    const std::string& container_id) {
  Result<std::string> name = pod.ReadFile(kHandlerFile, 256);
  if (name && !name->empty()) {
    Result<const OciHandler*> handler = handlers_.Resolve(*name);
    if (handler) return *handler;
  }
  LogWarn(StrCat("container ", container_id, ": its pod's handler cannot be read"));
  for (const OciHandler& handler : config_.handlers) {
    const os::DirFd root = TRY(os::DirFd::OpenTrusted(handler.root));
    if (TRY(root.Exists(container_id))) return &handler;
  }
  return nullptr;
}

Result<> MonitorRuntime::DeleteWithoutMonitor(const os::DirFd& pod,
                                              const std::string& container_id) {
  const OciHandler* handler = TRY(HandlerOf(pod, container_id));
  if (handler == nullptr) return Ok();
  os::RunOptions run;
  run.spawn.path = config_.monitor_path;
  run.spawn.env = config_.monitor_env;
  std::vector<std::string>& args = run.spawn.args;
  args = {"berth-monitor", "--run"};
  if (hybrid_cgroups_) {
    for (const std::string& arg :
         {std::string("--private"), config_.cgroup_root, std::string("--detach"),
          StrCat(config_.cgroup_root, "/unified")})
      args.push_back(arg);
  }
  args.push_back("--");
  args.push_back(handler->path);
  args.push_back("--root");
  args.push_back(handler->root);
  args.insert(args.end(), handler->args.begin(), handler->args.end());
  for (const std::string& arg : {std::string("delete"), std::string("--force"), container_id})
    args.push_back(arg);
  run.timeout = config_.call_timeout;
  const os::RunOutput output = TRY(os::Run(run));
  if (output.status.ok()) return Ok();
  return Error(Code::kInternal, StrCat(handler->name, " delete: ", os::Describe(output.status),
                                       ": ", Quote(TrimSpace(output.err), 2048)));
}

Result<> MonitorRuntime::RemoveContainerFiles(const os::DirFd& pod,
                                              const std::string& container_id) {
  TRY(pod.RemoveFile(StrCat(monitor::kExitsDir, "/", container_id)));
  return pod.RemoveTree(StrCat(monitor::kContainersDir, "/", container_id));
}

// True: the monitor has ended in order, and with it everything of its containers. False: it was
// gone, or had to be killed; what its containers left is still there.
Result<bool> MonitorRuntime::ShutDownMonitor(const std::string& sandbox_id, const os::DirFd& pod) {
  Result<std::shared_ptr<MonitorClient>> client = Client(sandbox_id);
  if (!client) {
    // It was too slow when berthd started, and taken for dead; a dead one refuses at once.
    client = MonitorClient::Connect(pod, config_.connect_timeout);
    if (!client) return false;
    Adopt(sandbox_id, *client, {});
  }
  (*client)->ExpectEnd();
  Result<MonitorClient::Answer> done = FAIL_STEP(
      "monitor.shutdown", (*client)->Call(monitor::Type::kShutdown, config_.call_timeout + kGrace));
  if (!done)
    LogWarn(StrCat("shut monitor of sandbox ", sandbox_id, " down: ", done.error().message()));
  (*client)->Close();
  os::Process process;
  {
    auto state = state_.Lock();
    auto found = state->pods.find(sandbox_id);
    if (found != state->pods.end()) {
      process = std::move(found->second.process);
      state->pods.erase(found);
    }
  }
  if (process.valid()) {
    if (done && TRY(process.Wait(kEnd), "monitor")) return true;
    TRY(process.Kill(9), "monitor");
    TRY(process.Wait(), "monitor");
    return false;
  }
  // Started by a daemon before us: it is no child of ours and ends by itself.
  if (done) return true;
  const int pid = static_cast<int>((*client)->hello().pid);
  Result<os::Fd> pidfd = os::Process::OpenPidFd(pid);
  if (!pidfd) return false;
  os::Process other(pid, std::move(*pidfd));
  Result<> killed = other.Kill(9);
  (void)other.Detach();
  TRY(std::move(killed), "monitor");
  return false;
}

Result<> MonitorRuntime::DeleteLeftContainers(const os::DirFd& pod) {
  Result<os::DirFd> containers = pod.OpenDir(monitor::kContainersDir);
  if (!containers)
    return containers.error().code() == Code::kNotFound ? Ok()
                                                        : Result<>(std::move(containers.error()));
  for (const std::string& id : TRY(containers->List())) {
    TRY(FAIL_STEP("monitor.left-delete", DeleteWithoutMonitor(pod, id)));
    TRY(FAIL_STEP("monitor.left-files", RemoveContainerFiles(pod, id)));
  }
  return Ok();
}

Result<> MonitorRuntime::StopSandbox(const std::string& sandbox_id) {
  const std::string what = StrCat("stop sandbox ", sandbox_id);
  Result<os::DirFd> pod = OpenPod(sandbox_id);
  if (!pod) {
    if (pod.error().code() == Code::kNotFound) return Ok();
    return std::move(pod.error()).Wrap(what);
  }
  if (!TRY(ShutDownMonitor(sandbox_id, *pod), what)) TRY(DeleteLeftContainers(*pod), what);
  TRY(os::Detach(*pod, "shm"), what);
  TRY(FAIL_STEP("monitor.directory-remove", pods_dir_.RemoveTree(sandbox_id)), what);
  return Ok();
}

}  // namespace berth::runtime
