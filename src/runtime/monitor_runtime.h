// SPDX-License-Identifier: Apache-2.0
// The Runtime with real processes: one berth-monitor per pod, OCI runtimes run by the monitors,
// never by the daemon. Owned by the daemon; any thread. One thread of its own reads the monitors'
// sockets and sends the events.
//
//   <state>/                    one private mount point, made by the daemon before this object
//     runtime/<handler>/        --root of an OCI runtime, unless configured otherwise
//     pods/<sandbox id>/        run directory of a pod: see monitor/protocol.h
// Everything here is void after a reboot; <state> is on a tmpfs.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "os/dir_fd.h"
#include "os/event_loop.h"
#include "os/process.h"
#include "runtime/monitor_client.h"
#include "runtime/oci_handlers.h"
#include "runtime/runtime.h"
#include "runtime/sealed_programs.h"
#include "runtime/seccomp_programs.h"

namespace berth::runtime {

struct MonitorRuntimeConfig {
  std::string state_dir;     // absolute
  std::string monitor_path;  // absolute path of berth-monitor
  std::vector<OciHandler> handlers;
  std::string default_handler;
  bool systemd_cgroup = false;  // adds --systemd-cgroup to every handler
  std::string cgroup_root = "/sys/fs/cgroup";
  std::string host_etc = "/etc";
  // Can root file systems be made for this user namespace? Asked once, at the start; unset: no.
  std::function<Result<>(int user_ns)> try_user_ns;
  std::chrono::milliseconds connect_timeout{10'000};  // of one that was just started
  std::chrono::milliseconds observe_timeout{
      2'000};  // of all together at a start; who is later is adopted then
  std::chrono::milliseconds stop_timeout{
      30'000};  // of what stops a pod; then its monitor is killed
  std::chrono::milliseconds quick_timeout{5'000};  // of the rest of what a monitor does by itself
  std::chrono::milliseconds silence{
      10'000};  // of one that runs an OCI runtime for the call: docs/reliability.md
  std::chrono::milliseconds call_timeout{120'000};  // of one run of an OCI runtime
  std::vector<std::string> monitor_env = {
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
};

class MonitorRuntime final : public Runtime {
 public:
  static Result<std::unique_ptr<MonitorRuntime>> Make(MonitorRuntimeConfig config);
  // Monitors and containers live on.
  ~MonitorRuntime() override;

  void SetEventSink(EventSink sink) override;
  std::vector<HandlerInfo> Handlers() const override { return handlers_.infos(); }
  Result<std::string> ResolveHandler(const std::string& handler) const override;
  Result<os::UserNs> MakeUserNs(const os::IdRange& range) override;
  Result<os::Fd> OpenUserNs(const SandboxHandle& handle) override;
  Result<SandboxHandle> StartSandbox(const SandboxSpec& spec) override;
  Result<> StopSandbox(const std::string& sandbox_id) override;
  std::string RootfsPath(const std::string& sandbox_id,
                         const std::string& container_id) const override;
  std::string VolumePath(const std::string& sandbox_id, const std::string& container_id,
                         size_t index) const override;
  Result<int> Create(CreateRequest request) override;
  Result<> Start(const std::string& sandbox_id, const std::string& container_id,
                 Trace* trace = nullptr) override;
  Result<> Signal(const std::string& sandbox_id, const std::string& container_id,
                  int signal) override;
  Result<> Update(const std::string& sandbox_id, const std::string& container_id,
                  const std::string& resources_json,
                  const std::stop_token& cancelled = {}) override;
  Result<> KillAll(const std::string& sandbox_id, const std::string& container_id) override;
  Result<> Delete(const std::string& sandbox_id, const std::string& container_id) override;
  Result<ExecOutput> ExecSync(const ExecRequest& request, std::chrono::nanoseconds timeout,
                              size_t limit) override;
  Result<SessionStreams> StartExec(const ExecRequest& request,
                                   const StreamsWanted& wanted) override;
  Result<SessionStreams> Attach(const std::string& sandbox_id, const std::string& container_id,
                                const StreamsWanted& wanted) override;
  Result<os::Fd> OpenDialer(const std::string& sandbox_id, os::Fd netns) override;
  Result<> ReopenLog(const std::string& sandbox_id, const std::string& container_id,
                     const std::stop_token& cancelled = {}) override;
  Result<std::vector<SandboxObservation>> Observe() override;
  Result<RememberedPod> Remembered(const std::string& sandbox_id) override;

 private:
  struct Pod {
    // Its hello may still be unanswered. Null: the monitor has more connections waiting than it may; tried again.
    std::shared_ptr<MonitorClient> client;
    os::Process process;  // only if this daemon has started it
    os::Fd pidfd;         // otherwise, once it has answered
    bool killed = false;  // by us: there is nobody to be reached again
  };
  struct State {
    std::map<std::string, Pod> pods;
    EventSink sink;
  };
  explicit MonitorRuntime(MonitorRuntimeConfig config) : config_(std::move(config)) {}

  // monitor_runtime.cc: containers
  static Result<> CheckIds(const std::string& sandbox_id, const std::string& container_id);
  // One that answers, as far as is known.
  Result<std::shared_ptr<MonitorClient>> Client(const std::string& sandbox_id);
  Result<> Call(monitor::Type type, const std::string& sandbox_id, const std::string& container_id,
                const CallLimits& limits);
  CallLimits ProgramLimits() const;
  Result<std::shared_ptr<MonitorClient>> FindClient(const std::string& sandbox_id);
  Result<> PrepareBundle(const os::DirFd& pod, const CreateRequest& request);
  // The spec for the pod's OCI runtime; with its filter compiled, where that spares the runtime work.
  Result<std::string> BundleSpec(const os::DirFd& pod, const std::string& spec_json);

  // monitor_runtime_sessions.cc
  Result<std::shared_ptr<MonitorClient>> SessionClient(const std::string& sandbox_id);

  // monitor_runtime_pods.cc: the life of a monitor
  Result<os::DirFd> OpenPod(const std::string& sandbox_id) const;
  std::string PodPath(const std::string& sandbox_id) const;
  Result<SandboxHandle> StartSteps(const SandboxSpec& spec);
  Result<os::DirFd> MakePodDir(const SandboxSpec& spec, const std::string& handler);
  Result<> TryUserNs();
  Result<os::Fd> MakeShm(const os::DirFd& pod, const SandboxSpec& spec);
  Result<std::shared_ptr<MonitorClient>> SpawnMonitor(const std::string& sandbox_id,
                                                      const os::DirFd& pod);
  Result<monitor::SetupAnswer> SetUp(MonitorClient& client, const SandboxSpec& spec,
                                     const OciHandler& handler, const os::Fd& shm);
  SandboxHandle HandleOf(const std::string& sandbox_id, const os::DirFd& pod,
                         const monitor::HelloAnswer& hello) const;
  void Adopt(const std::string& sandbox_id, const std::shared_ptr<MonitorClient>& client,
             os::Process process);
  // Exits on disk of a monitor that is gone.
  void ReportRecordedExits(const std::string& sandbox_id, const os::DirFd& pod);
  void ReportExit(const std::string& sandbox_id, const monitor::ContainerExited& event);
  void Lost(const std::string& sandbox_id);
  void Gone(const std::string& sandbox_id);

  // monitor_runtime_hung.cc: monitors that do not answer
  // For what stops a pod: whether it answers or not.
  Result<std::shared_ptr<MonitorClient>> UrgentClient(const std::string& sandbox_id);
  CallLimits UrgentLimits(std::chrono::milliseconds total) const;
  // False: nobody listens.
  bool Reach(const std::string& sandbox_id, const os::DirFd& pod);
  void ReachLater(const std::string& sandbox_id);
  bool Reconnect(const std::string& sandbox_id);
  void Answered(const std::string& sandbox_id, const std::shared_ptr<MonitorClient>& client);
  // Gives `why` back, Unavailable once it is dead.
  Error KillMonitor(const std::string& sandbox_id, Error why);
  Result<> Kill(const std::string& sandbox_id);

  // monitor_runtime_recovery.cc: after a restart, and without a monitor
  struct Asked {
    std::string sandbox_id;
    std::shared_ptr<MonitorClient> client;  // null: it has not even taken the connection
  };
  Result<SandboxObservation> ObserveGone(const std::string& sandbox_id);
  SandboxObservation ObserveAnswered(const std::string& sandbox_id, const os::DirFd& pod,
                                     const monitor::HelloAnswer& hello) const;
  Result<SandboxObservation> ObserveAsked(const Asked& asked);
  static void AwaitHellos(const std::vector<Asked>& all, std::chrono::milliseconds timeout);
  Result<const OciHandler*> HandlerOf(const os::DirFd& pod, const std::string& container_id);
  // `delete --force` run through `berth-monitor --run`.
  Result<> DeleteWithoutMonitor(const os::DirFd& pod, const std::string& container_id);
  Result<bool> ShutDownMonitor(const std::string& sandbox_id, const os::DirFd& pod);
  Result<> DeleteLeftContainers(const os::DirFd& pod);
  Result<> RemoveContainerFiles(const os::DirFd& pod, const std::string& container_id);

  MonitorRuntimeConfig config_;
  OciHandlers handlers_;
  SealedPrograms programs_;
  SeccompPrograms seccomp_programs_;
  bool hybrid_cgroups_ = false;
  os::DirFd pods_dir_;
  std::unique_ptr<os::EventLoop> loop_;
  std::thread thread_;
  Guarded<State> state_;
};

}  // namespace berth::runtime
