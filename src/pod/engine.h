// SPDX-License-Identifier: Apache-2.0
// Pods and containers: the one place that decides. Every method is a CRI call's meaning, blocking,
// from any thread. Owned by the daemon; images, runtime, network, host, records, clock and stats are
// borrowed and outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "image/images.h"
#include "pod/metrics.h"
#include "pod/records.h"
#include "pod/stats.h"
#include "pod/types.h"
#include "runtime/host.h"
#include "runtime/network.h"
#include "runtime/runtime.h"
#include "runtime/stats.h"

namespace berth::pod {

struct EngineConfig {
  bool systemd_cgroup = false;
  std::string default_cgroup_parent = "/berth";  // for pods that name none
  bool cgroups_for_cadvisor = false;             // their names, and one more per pod: cgroup_path.h
  // Annotations that may reach the OCI spec, per handler; everything else stays out
  // (CVE-2024-3154).
  std::map<std::string, std::vector<std::string>> allowed_annotations;
  std::string default_runtime_handler;
};

// A call in flight: when the client gives up, waiting stops; what was begun is finished or undone
// all the same.
struct Call {
  std::stop_token cancelled;
  // Monotonic deadline of the client; zero: none.
  std::chrono::nanoseconds deadline{0};
};

struct LifecycleEvent {
  enum class Type { kCreated, kStarted, kStopped, kDeleted };
  Type type;
  std::string sandbox_id;
  std::string container_id;  // the sandbox id for events of the sandbox itself
  int64_t created_at = 0;    // wall nanoseconds, monotonic within one daemon
  // The pod when the event is reported, or what it was before it went; none: it has no record.
  std::optional<SandboxStatus> sandbox;
  std::vector<ContainerStatus> containers;  // all that are in it then
};

// A pod and what is in it at one time.
struct PodSnapshot {
  SandboxStatus sandbox;
  std::vector<ContainerStatus> containers;
  int64_t taken_at = 0;  // before it was looked at, on the events' clock
};

class Engine {
 public:
  struct Dependencies {
    image::Images& images;
    runtime::Runtime& runtime;
    runtime::Network& network;
    runtime::Host& host;
    Records& records;
    const Clock& clock;
    runtime::Stats& stats;
  };
  Engine(Dependencies dependencies, EngineConfig config);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  // Reads the records, looks at what is there, applies Reconcile. Before the first request; once.
  // Exits and lifecycle events are handled from then on, not before.
  Result<> Recover();
  // Called on the engine's event thread after each change of state. Replaces the one before, whose
  // last call may still be going on when this returns.
  void SetEventListener(std::function<void(const LifecycleEvent&)> listener);

  // A repeat of a call in flight, or of one that has succeeded, gives the same id (same metadata
  // and config).
  Result<std::string> RunPodSandbox(const Call& call, const SandboxConfig& config,
                                    const std::string& handler);
  Result<> StopPodSandbox(const Call& call, const std::string& id);
  Result<> RemovePodSandbox(const Call& call, const std::string& id);
  Result<SandboxStatus> PodSandboxStatus(const std::string& id);
  Result<PodSnapshot> Snapshot(const std::string& id);
  std::vector<SandboxStatus> ListPodSandbox(const SandboxFilter& filter);
  // The same, as a function writes each object. What it wrote is kept until the object looks different in
  // a list (pod/list_item.h): a list of what has not changed costs a copy of bytes.
  std::string EncodedPodSandboxes(const SandboxFilter& filter,
                                  void (*encode)(const SandboxStatus&, std::string* out));

  Result<std::string> CreateContainer(const Call& call, const std::string& sandbox_id,
                                      const ContainerConfig& config);
  Result<> StartContainer(const Call& call, const std::string& id);
  Result<> StopContainer(const Call& call, const std::string& id, std::chrono::seconds grace);
  Result<> RemoveContainer(const Call& call, const std::string& id);
  Result<ContainerStatus> GetContainerStatus(const std::string& id);
  // RunPodSandbox or CreateContainer of this whole id is in flight: its status is not complete yet.
  bool IsBeingMade(const std::string& id);
  std::vector<ContainerStatus> ListContainers(const ContainerFilter& filter);
  std::string EncodedContainers(const ContainerFilter& filter,
                                void (*encode)(const ContainerStatus&, std::string* out));
  Result<runtime::ExecOutput> ExecSync(const Call& call, const std::string& id,
                                       const std::vector<std::string>& command,
                                       std::chrono::nanoseconds timeout);
  Result<> ReopenContainerLog(const Call& call, const std::string& id);

  // Sessions come in two steps. Check..., when one is asked for: InvalidArgument, NotFound or FailedPrecondition, else
  // the same with the whole id in it. Start..., when its client's streams are there: checks again what may have changed,
  // and gives the streams, or the dialer, away (runtime/runtime.h).
  Result<ExecOptions> CheckExec(ExecOptions options);
  Result<runtime::SessionStreams> StartExec(const ExecOptions& options);
  Result<AttachOptions> CheckAttach(AttachOptions options);
  Result<runtime::SessionStreams> StartAttach(const AttachOptions& options);
  Result<PortForwardOptions> CheckPortForward(PortForwardOptions options);
  Result<os::Fd> StartPortForward(const PortForwardOptions& options);
  // Of a container in any state; figures only while it runs. NotFound.
  Result<ContainerStats> GetContainerStats(const std::string& id);
  // Of those that run; filter.state does not count. One that cannot be read is left out, with a warning.
  std::vector<ContainerStats> ListContainerStats(const ContainerFilter& filter);
  // The same of pods: figures while ready, lists of those that are.
  Result<SandboxStats> PodSandboxStats(const std::string& id);
  std::vector<SandboxStats> ListPodSandboxStats(const SandboxFilter& filter);
  std::vector<SandboxMetrics> ListPodSandboxMetrics();

  // Of a container that waits or runs. What is 0 or empty stays as it is. All or nothing: after a failure the
  // control group, the record and the status have the old values.
  Result<> UpdateContainerResources(const Call& call, const std::string& id,
                                    const LinuxResources& resources);
  // The kubelet has changed the pod's control group itself; what it says is kept and shown, no more.
  Result<> UpdatePodSandboxResources(const std::string& id,
                                     const std::optional<LinuxResources>& overhead,
                                     const std::optional<LinuxResources>& resources);

  // JSON for `crictl inspect` and `inspectp`: key -> JSON text.
  Result<StringMap> PodSandboxInfo(const std::string& id);
  Result<StringMap> ContainerInfo(const std::string& id);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::pod
