// SPDX-License-Identifier: Apache-2.0
// Starting a pod's monitor, and noticing its end.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "os/socket.h"
#include "runtime/monitor_runtime.h"
#include "runtime/sandbox_files.h"

namespace berth::runtime {

namespace {
constexpr std::chrono::milliseconds kSetupTimeout{60'000};
}  // namespace

Result<os::DirFd> MonitorRuntime::OpenPod(const std::string& sandbox_id) const {
  if (!monitor::IsPlainId(sandbox_id))
    return Error(Code::kInvalidArgument, StrCat("sandbox ", Quote(sandbox_id), ": not an id"));
  Result<os::DirFd> pod = pods_dir_.OpenDir(sandbox_id);
  if (!pod && pod.error().code() == Code::kNotFound)
    return Error(Code::kNotFound, StrCat("sandbox ", sandbox_id, ": not found"));
  return pod;
}

Result<SandboxHandle> MonitorRuntime::StartSandbox(const SandboxSpec& spec) {
  const std::string what = StrCat("start sandbox ", spec.sandbox_id);
  if (!monitor::IsPlainId(spec.sandbox_id))
    return Error(Code::kInvalidArgument, StrCat(what, ": not an id"));
  if (TRY(pods_dir_.Exists(spec.sandbox_id), what))
    return Error(Code::kAlreadyExists, StrCat(what, ": exists"));
  Result<SandboxHandle> handle = StartSteps(spec);
  if (handle) return handle;
  Result<> stopped = StopSandbox(spec.sandbox_id);
  if (!stopped) LogWarn(StrCat(what, ": undo: ", stopped.error().message()));
  return std::move(handle.error()).Wrap(what);
}

Result<SandboxHandle> MonitorRuntime::StartSteps(const SandboxSpec& spec) {
  const OciHandler* handler = TRY(handlers_.Resolve(spec.handler));
  os::DirFd pod = TRY(FAIL_STEP("monitor.directory", Traced(spec.trace, "run directory", [&] {
                                  return MakePodDir(spec, handler->name);
                                })));
  os::Fd shm = spec.shm_bytes > 0 ? TRY(MakeShm(pod, spec), "shm") : os::Fd();
  if (!spec.log_directory.empty())
    TRY(os::DirFd::MakeTrusted(spec.log_directory, 0755), "log directory");
  std::shared_ptr<MonitorClient> client = TRY(
      Traced(spec.trace, "spawn the monitor", [&] { return SpawnMonitor(spec.sandbox_id, pod); }));
  monitor::HelloAnswer hello = client->hello();
  if (!hello.warning.empty())
    LogDebug(StrCat("monitor of sandbox ", spec.sandbox_id, ": ", hello.warning));
  const monitor::SetupAnswer made =
      TRY(FAIL_STEP("monitor.setup", Traced(spec.trace, "set up the monitor",
                                            [&] { return SetUp(*client, spec, *handler, shm); })),
          "monitor");
  hello.pid_ns_init = made.pid_ns_init;
  hello.user_ns_fd = made.user_ns_fd;
  hello.new_ipc = spec.new_ipc_namespace;
  hello.new_uts = spec.new_uts_namespace;
  return HandleOf(spec.sandbox_id, pod, hello);
}

Result<os::DirFd> MonitorRuntime::MakePodDir(const SandboxSpec& spec, const std::string& handler) {
  os::DirFd pod = TRY(pods_dir_.MakeDir(spec.sandbox_id, 0711), "run directory");
  TRY(pod.MakeDir(monitor::kContainersDir, 0711));
  TRY(pod.MakeDir(monitor::kExitsDir, 0700));
  TRY(pod.MakeDir(monitor::kCallsDir, 0700));
  TRY(pod.WriteFile(kHandlerFile, handler, 0600));
  if (!spec.record.empty()) TRY(pod.WriteFile(kRecordFile, spec.record, 0600));
  TRY(WriteSandboxFiles(pod, spec, config_.host_etc));
  return pod;
}

Result<os::Fd> MonitorRuntime::MakeShm(const os::DirFd& pod, const SandboxSpec& spec) {
  os::DirFd target = TRY(pod.MakeDir("shm", 0755));
  os::Mount shm = TRY(os::Mount::Tmpfs(StrCat(spec.shm_bytes), "1777",
                                       MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  if (spec.root_id != 0) {
    const os::DirFd root = TRY(shm.OpenRoot());
    if (::fchownat(root.get(), "", spec.root_id, spec.root_id, AT_EMPTY_PATH) < 0)
      return ErrnoError("set owner");
  }
  // Copies of a detached mount can be made since Linux 6.15; before, it has to be attached in the
  // host's table.
  if (os::Mount::CloneTree(shm.fd(), false)) return shm.Release();
  TRY(std::move(shm).AttachTo(target.get()));
  return os::Fd();
}

Result<std::shared_ptr<MonitorClient>> MonitorRuntime::SpawnMonitor(const std::string& sandbox_id,
                                                                    const os::DirFd& pod) {
  os::Fd listener =
      TRY(os::ListenUnix(pod, monitor::kSocketName, os::SocketType::kSeqPacket), "monitor");
  os::SpawnOptions options;
  options.path = config_.monitor_path;
  options.args = {"berth-monitor"};
  options.env = config_.monitor_env;
  options.fds = {{listener.get(), monitor::kListenerFd}, {pod.get(), monitor::kRunDirFd}};
  options.new_session = true;
  os::Process process = TRY(FAIL_STEP("monitor.spawn", os::Spawn(options)), "monitor");
  // From here on the monitor alone holds it: who connects after its death must be refused.
  listener.Reset();
  std::shared_ptr<MonitorClient> client =
      TRY(MonitorClient::Connect(pod, sandbox_id, config_.connect_timeout));
  Adopt(sandbox_id, client, std::move(process));
  return client;
}

Result<monitor::SetupAnswer> MonitorRuntime::SetUp(MonitorClient& client, const SandboxSpec& spec,
                                                   const OciHandler& handler, const os::Fd& shm) {
  monitor::Setup setup;
  setup.sandbox_id = spec.sandbox_id;
  setup.pod_path = PodPath(spec.sandbox_id);
  setup.new_ipc = spec.new_ipc_namespace;
  setup.new_uts = spec.new_uts_namespace;
  setup.shared_pid = spec.shared_pid_namespace;
  setup.hostname = spec.hostname;
  setup.sysctls.assign(spec.sysctls.begin(), spec.sysctls.end());
  setup.runtime_path = handler.path;
  setup.runtime_root = handler.root;
  setup.runtime_args = handler.args;
  if (hybrid_cgroups_) {
    setup.private_paths = {config_.cgroup_root};
    setup.detach_paths = {StrCat(config_.cgroup_root, "/unified")};
  }
  std::vector<int> fds;
  const std::shared_ptr<const os::SealedProgram> program =
      handler.copies_itself && client.hello().version >= monitor::kProgramVersion
          ? programs_.Of(handler.path)
          : nullptr;
  setup.has_shm = shm.valid();
  if (shm.valid()) fds.push_back(shm.get());
  if (spec.user_ns) {
    setup.has_user_ns = true;
    setup.root_id = spec.root_id;
    for (const os::Fd* ns : {&spec.user_ns->user, &spec.user_ns->ipc, &spec.user_ns->uts})
      fds.push_back(ns->get());
  }
  if (program) {
    setup.has_program = true;
    setup.program = program->source;
    fds.push_back(program->file.get());
  }
  const MonitorClient::Answer answer =
      TRY(client.Call(monitor::Type::kSetup, setup, {kSetupTimeout, kSetupTimeout}, fds));
  return TRY(MonitorClient::Decoded<monitor::SetupAnswer>(answer));
}

SandboxHandle MonitorRuntime::HandleOf(const std::string& sandbox_id, const os::DirFd& pod,
                                       const monitor::HelloAnswer& hello) const {
  SandboxHandle handle;
  handle.monitor_pid = static_cast<int>(hello.pid);
  if (hello.user_ns_fd != 0)
    handle.user_ns_path = StrCat("/proc/", hello.pid, "/fd/", hello.user_ns_fd);
  if (hello.new_ipc) handle.ipc_ns_path = StrCat("/proc/", hello.pid, "/ns/ipc");
  if (hello.new_uts) handle.uts_ns_path = StrCat("/proc/", hello.pid, "/ns/uts");
  handle.pid_ns_init = static_cast<int>(hello.pid_ns_init);
  if (hello.pid_ns_init != 0) handle.pid_ns_path = StrCat("/proc/", hello.pid_ns_init, "/ns/pid");
  const std::string path = PodPath(sandbox_id);
  const Result<bool> has_shm = pod.Exists("shm");
  if (has_shm && *has_shm) handle.shm_path = StrCat(path, "/shm");
  handle.resolv_conf_path = StrCat(path, "/", kResolvConf);
  handle.hosts_path = StrCat(path, "/", kHosts);
  handle.hostname_path = StrCat(path, "/", kHostname);
  return handle;
}

void MonitorRuntime::Adopt(const std::string& sandbox_id,
                           const std::shared_ptr<MonitorClient>& client, os::Process process) {
  MonitorClient::Events events;
  events.exited = [this, sandbox_id](const monitor::ContainerExited& event) {
    ReportExit(sandbox_id, event);
  };
  events.lost = [this, sandbox_id] { Lost(sandbox_id); };
  // The client holds its events, and so must not be held by them.
  events.answered = [this, sandbox_id, weak = std::weak_ptr<MonitorClient>(client)] {
    if (std::shared_ptr<MonitorClient> self = weak.lock()) Answered(sandbox_id, self);
  };
  Result<os::Fd> pidfd;
  if (client->answered() && !process.valid()) pidfd = client->OpenPidFd();
  {
    auto state = state_.Lock();
    Pod& pod = state->pods[sandbox_id];
    pod.client = client;
    if (process.valid()) pod.process = std::move(process);
    pod.pidfd = pidfd ? std::move(*pidfd) : os::Fd();
  }
  state_.NotifyAll();
  client->Begin(loop_.get(), std::move(events));
}

void MonitorRuntime::ReportExit(const std::string& sandbox_id,
                                const monitor::ContainerExited& event) {
  std::function<void(ContainerExited)> exited = state_.Lock()->sink.exited;
  ExitRecord record{static_cast<int>(event.exit.code), static_cast<int>(event.exit.signal),
                    event.exit.oom_killed, event.exit.finished_at};
  if (exited) exited({sandbox_id, event.container_id, record});
}

// On the loop's thread. The connection may have ended alone: a living monitor is connected to
// again.
void MonitorRuntime::Lost(const std::string& sandbox_id) {
  if (!Reconnect(sandbox_id)) Gone(sandbox_id);
}

void MonitorRuntime::Gone(const std::string& sandbox_id) {
  os::Process process;
  std::function<void(MonitorLost)> lost;
  {
    auto state = state_.Lock();
    auto found = state->pods.find(sandbox_id);
    if (found == state->pods.end()) return;
    process = std::move(found->second.process);
    state->pods.erase(found);
    lost = state->sink.lost;
  }
  state_.NotifyAll();
  LogWarn(StrCat("sandbox ", sandbox_id, ": its monitor is gone"));
  // What it has written down and had no time to tell.
  if (Result<os::DirFd> pod = OpenPod(sandbox_id); pod) ReportRecordedExits(sandbox_id, *pod);
  // Killed if it only closed its socket, and reaped.
  process = {};
  if (lost) lost({sandbox_id});
}

}  // namespace berth::runtime
