// SPDX-License-Identifier: Apache-2.0
// What is found after a restart, and undoing pods whose monitor is gone.
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "runtime/monitor_process.h"
#include "runtime/monitor_runtime.h"
#include "runtime/sandbox_files.h"

namespace berth::runtime {

namespace {

using std::chrono::milliseconds;

constexpr int kProgramFd = 5;        // in a child; below are its stdio
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

SandboxObservation MonitorRuntime::ObserveAnswered(const std::string& sandbox_id,
                                                   const os::DirFd& pod,
                                                   const monitor::HelloAnswer& hello) const {
  SandboxObservation observation;
  observation.sandbox_id = sandbox_id;
  observation.monitor_alive = true;
  if (hello.set_up) observation.handle = HandleOf(sandbox_id, pod, hello);
  for (const monitor::ContainerState& c : hello.containers) {
    ContainerObservation one{c.container_id, ToPhase(c.phase), static_cast<int>(c.pid), {}};
    if (c.exit) one.exit = ToRecord(*c.exit);
    observation.containers.push_back(std::move(one));
  }
  return observation;
}

Result<SandboxObservation> MonitorRuntime::ObserveGone(const std::string& sandbox_id) {
  SandboxObservation observation;
  observation.sandbox_id = sandbox_id;
  const os::DirFd pod = TRY(OpenPod(sandbox_id));
  observation.containers = TRY(ReadExits(pod));
  return observation;
}

void MonitorRuntime::ReportRecordedExits(const std::string& sandbox_id, const os::DirFd& pod) {
  std::function<void(ContainerExited)> exited = state_.Lock()->sink.exited;
  Result<std::vector<ContainerObservation>> exits = ReadExits(pod);
  if (!exits) LogError(StrCat("sandbox ", sandbox_id, ": ", exits.error().message()));
  if (!exits || !exited) return;
  for (const ContainerObservation& one : *exits) exited({sandbox_id, one.container_id, *one.exit});
}

void MonitorRuntime::AwaitHellos(const std::vector<Asked>& all, milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::vector<pollfd> waiting;
  for (const Asked& one : all)
    if (one.client) waiting.push_back({one.client->fd(), POLLIN, 0});
  while (!waiting.empty()) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    const int n = ::poll(waiting.data(), waiting.size(), static_cast<int>(left.count()));
    if (n < 0 && errno != EINTR) return;
    if (n > 0) std::erase_if(waiting, [](const pollfd& p) { return p.revents != 0; });
  }
}

Result<SandboxObservation> MonitorRuntime::ObserveAsked(const Asked& asked) {
  const os::DirFd pod = TRY(OpenPod(asked.sandbox_id));
  // Now, and not when a late answer comes: then there are execs of our own.
  RemoveLostExecs(pod);
  pollfd readable{asked.client ? asked.client->fd() : -1, POLLIN, 0};
  if (::poll(&readable, 1, 0) > 0) {
    Result<> hello = asked.client->TakeHello();
    if (!hello && hello.error().code() == Code::kUnavailable) return ObserveGone(asked.sandbox_id);
    TRY(std::move(hello));
    SandboxObservation observation = ObserveAnswered(asked.sandbox_id, pod, asked.client->hello());
    Adopt(asked.sandbox_id, asked.client, {});
    return observation;
  }
  LogWarn(StrCat("sandbox ", asked.sandbox_id, ": its monitor does not answer"));
  SandboxObservation observation = TRY(ObserveGone(asked.sandbox_id));
  observation.unanswered = true;
  if (asked.client)
    Adopt(asked.sandbox_id, asked.client, {});
  else
    ReachLater(asked.sandbox_id);
  return observation;
}

Result<std::vector<SandboxObservation>> MonitorRuntime::Observe() {
  std::vector<SandboxObservation> all;
  auto add = [&all](const std::string& id, Result<SandboxObservation> one) {
    if (!one) {
      // Still there, so it is named: nothing is known of it but that it can be stopped.
      LogError(StrCat("sandbox ", id, ": ", one.error().message()));
      SandboxObservation unknown;
      unknown.sandbox_id = id;
      one = std::move(unknown);
    }
    all.push_back(std::move(*one));
  };
  std::vector<Asked> asked;
  for (const std::string& name : TRY(pods_dir_.List(), "state directory")) {
    if (!monitor::IsPlainId(name)) continue;
    Result<os::DirFd> pod = OpenPod(name);
    Result<std::shared_ptr<MonitorClient>> client =
        pod ? MonitorClient::Open(*pod, name)
            : Result<std::shared_ptr<MonitorClient>>(std::move(pod.error()));
    if (client)
      asked.push_back({name, std::move(*client)});
    else if (client.error().sys_errno() == EAGAIN)
      asked.push_back({name, nullptr});
    else if (client.error().code() == Code::kNotFound ||
             client.error().code() == Code::kUnavailable)
      add(name, ObserveGone(name));
    else
      add(name, std::move(client.error()));
  }
  AwaitHellos(asked, config_.observe_timeout);
  for (const Asked& one : asked) add(one.sandbox_id, ObserveAsked(one));
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
  const std::shared_ptr<const os::SealedProgram> copy =
      handler->copies_itself ? programs_.OfMissing(handler->path) : nullptr;
  if (copy) run.spawn.fds.push_back({copy->file.get(), kProgramFd});
  args.push_back(copy ? StrCat("/proc/self/fd/", kProgramFd) : handler->path);
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
  const bool known = state_.Lock()->pods.contains(sandbox_id);
  if (!known && !Reach(sandbox_id, pod)) return false;
  std::shared_ptr<MonitorClient> client;
  auto shut_down = [&]() -> Result<> {
    client = TRY(UrgentClient(sandbox_id));
    client->ExpectEnd();
    return TRY(client->Call(monitor::Type::kShutdown, UrgentLimits(ProgramLimits().total))), Ok();
  };
  Result<> done = FAIL_STEP("monitor.shutdown", shut_down());
  if (!done)
    LogWarn(StrCat("shut monitor of sandbox ", sandbox_id, " down: ", done.error().message()));
  if (client) client->Close();
  Pod ended;
  {
    auto state = state_.Lock();
    auto found = state->pods.find(sandbox_id);
    if (found != state->pods.end()) {
      ended = std::move(found->second);
      state->pods.erase(found);
    }
  }
  state_.NotifyAll();
  if (ended.process.valid()) {
    if (done && TRY(ended.process.Wait(kEnd), "monitor")) return true;
    TRY(ended.process.Kill(SIGKILL), "monitor");
    TRY(ended.process.Wait(), "monitor");
    return false;
  }
  // Started by a daemon before us: it is no child of ours and ends by itself.
  if (done) return true;
  TRY(KillOther(pod, ended.pidfd), "monitor");
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
