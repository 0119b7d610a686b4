// SPDX-License-Identifier: Apache-2.0
// What is found after a restart, and undoing pods whose monitor is gone.
#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "runtime/monitor_runtime.h"

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

// What a dead monitor has written down.
Result<std::vector<ContainerObservation>> ReadExits(const os::DirFd& pod) {
  std::vector<ContainerObservation> all;
  os::DirFd exits = TRY(pod.MakeOrOpenDir(monitor::kExitsDir, 0700));
  for (const std::string& name : TRY(exits.List())) {
    if (!monitor::IsPlainId(name)) continue;  // a temporary file
    const std::string text = TRY(exits.ReadFile(name, 256), StrCat("exit of ", name));
    ContainerObservation one;
    one.container_id = name;
    one.phase = ContainerPhase::kExited;
    one.exit = ToRecord(TRY(monitor::ExitFromText(text), StrCat("exit of ", name)));
    all.push_back(std::move(one));
  }
  return all;
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
  if (hello.set_up) observation.handle = HandleOf(sandbox_id, pod, hello);
  for (const monitor::ContainerState& c : hello.containers) {
    ContainerObservation one{c.container_id, ToPhase(c.phase), static_cast<int>(c.pid), {}};
    if (c.exit) one.exit = ToRecord(*c.exit);
    observation.containers.push_back(std::move(one));
  }
  Adopt(sandbox_id, *client, {});
  return observation;
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

Result<> MonitorRuntime::DeleteWithoutMonitor(const os::DirFd& pod,
                                              const std::string& container_id) {
  const std::string name = TRY(pod.ReadFile("handler", 256), "handler of the pod");
  const OciHandler* handler = TRY(handlers_.Resolve(name));
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
Result<bool> MonitorRuntime::ShutDownMonitor(const std::string& sandbox_id) {
  Result<std::shared_ptr<MonitorClient>> client = Client(sandbox_id);
  if (!client) return false;
  (*client)->ExpectEnd();
  Result<MonitorClient::Answer> done =
      (*client)->Call(monitor::Type::kShutdown, config_.call_timeout + kGrace);
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
    TRY(DeleteWithoutMonitor(pod, id));
    TRY(RemoveContainerFiles(pod, id));
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
  if (!TRY(ShutDownMonitor(sandbox_id), what)) TRY(DeleteLeftContainers(*pod), what);
  TRY(os::Detach(*pod, "shm"), what);
  TRY(pods_dir_.RemoveTree(sandbox_id), what);
  return Ok();
}

}  // namespace berth::runtime
