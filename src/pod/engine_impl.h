// SPDX-License-Identifier: Apache-2.0
// The engine's inside, private to src/pod. Objects are shared, so that a waiter keeps what it waits
// for alive. Owned by Engine; any thread.
//
// Locks, in this order, none of them held across I/O or a call into another module:
//   1. table     which pods and containers there are, and their reserved names
//   2. state     of one pod or one container
// Beside them each object has `persist`: held while its record is written, so that writes of one object
// do not overtake each other. It is taken before 1 and 2, never after.
//
// Who may change a container (rows: what is going on; columns: what is asked)
//                 Start                 Stop                          Remove
//   creating      (has no id yet)       waits                         (has no id yet)
//   starting      joins                 waits, then stops             FailedPrecondition
//   stopping      FailedPrecondition    joins; shortens, not longer   kills now, waits, removes
//   removing      FailedPrecondition    joins the removal             joins the removal
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "base/rollback.h"
#include "base/trace.h"
#include "oci/cgroup_limits.h"
#include "pod/engine.h"
#include "pod/event_queue.h"
#include "pod/list_item.h"
#include "pod/plan_container.h"
#include "pod/plan_sandbox.h"
#include "pod/reconcile.h"
#include "pod/status.h"
#include "pod/workers.h"

namespace berth::pod {

struct SandboxObject {
  struct State {
    SandboxRecord record;
    bool running = false;  // RunPodSandbox in flight
    bool lost = false;     // its monitor went meanwhile
    bool busy = false;     // StopPodSandbox or RemovePodSandbox in flight
    int creating = 0;      // CreateContainer calls in flight
    bool gone = false;
    std::optional<Error> run_error;  // for those who joined the RunPodSandbox
    ListItem<SandboxStatus, SandboxState> listed;
    std::shared_ptr<runtime::Meter> meter;  // of its own control group, from the first question on
  };
  explicit SandboxObject(SandboxRecord record) : id(record.id) {
    state.Lock()->record = std::move(record);
  }
  const std::string id;
  Guarded<State> state;
  std::mutex persist;
  Trace run_trace;
};

struct ContainerObject {
  enum class Op { kNone, kCreating, kStarting, kRemoving };
  struct Stop {
    bool active = false;     // a worker drives it
    bool signalled = false;  // the stop signal is sent once in a container's life
    std::chrono::nanoseconds deadline{0};
    std::optional<Error> error;
  };
  struct State {
    ContainerRecord record;
    Op op = Op::kNone;
    bool gone = false;
    Stop stop;
    std::optional<Error> create_error;
    std::optional<Error> start_error;  // for those who joined the StartContainer
    bool updating = false;             // UpdateContainerResources in flight: one at a time
    std::optional<runtime::ExitRecord> pending_exit;  // came while creating or starting
    bool pending_lost = false;                        // the monitor went while creating
    bool unanswered = false;  // as on record: its monitor has said nothing since the daemon started
    ListItem<ContainerStatus, ContainerState> listed;
    std::shared_ptr<runtime::Meter> meter;  // while it runs, from the first question on
    bool Ended() const {
      return gone || record.phase == ContainerPhase::kExited ||
             record.phase == ContainerPhase::kRemoving;
    }
  };
  explicit ContainerObject(ContainerRecord record) : id(record.id), sandbox_id(record.sandbox_id) {
    state.Lock()->record = std::move(record);
  }
  const std::string id;
  const std::string sandbox_id;
  Guarded<State> state;
  std::mutex persist;
  Trace create_trace, start_trace;
};

using SandboxPtr = std::shared_ptr<SandboxObject>;
using ContainerPtr = std::shared_ptr<ContainerObject>;

// What statistics need of a container and a pod, copied under its lock.
struct ContainerFacts {
  std::string id, sandbox_id;
  ContainerMetadata metadata;
  StringMap labels, annotations;
  std::string image, cgroup;
  std::optional<LinuxResources> resources;
  int64_t started_at = 0;
  bool running = false;
  std::shared_ptr<runtime::Meter> meter;  // set while running
};
struct SandboxFacts {
  std::string id;
  PodMetadata metadata;
  StringMap labels, annotations;
  std::string cgroup;
  bool ready = false, host_network = false, own_group = false;
  std::shared_ptr<runtime::Meter> meter;  // set while ready, when the group is its own
};
// What the metrics of every container share.
struct StoreMetrics {
  std::map<std::string, image::RootfsUsage> files;
  std::optional<image::StoreCapacity> capacity;
  std::string device;
};

// How the pod's user namespace changes the ids of files; nothing when it has none.
struct PodShift {
  os::Fd user_ns;
  std::optional<image::IdShift> ids;
};

// What CreateContainer has found of a container's volumes.
struct MountSources {
  std::vector<ResolvedMount> mounts;     // one for each of the request's
  std::vector<runtime::Volume> volumes;  // those that have no path on the host
};

struct Table {
  std::map<std::string, SandboxPtr> sandboxes;
  std::map<std::string, ContainerPtr> containers;
  std::map<std::string, std::string> sandbox_names;  // NameKey -> id
  std::map<std::string, std::string> container_names;
};

struct Engine::Impl {
  Impl(Dependencies dependencies, EngineConfig engine_config);
  ~Impl();

  // --- table.cc: finding. An empty id is InvalidArgument; no pointer: unknown. A unique prefix is
  // enough.
  Result<SandboxPtr> FindSandbox(const std::string& id);
  Result<ContainerPtr> FindContainer(const std::string& id);
  Result<SandboxPtr> NeedSandbox(const std::string& id);  // NotFound
  Result<ContainerPtr> NeedContainer(const std::string& id);
  std::vector<ContainerPtr> ContainersOf(const std::string& sandbox_id);
  std::vector<ContainerStatus> StatusesOf(const std::string& sandbox_id);
  // What a filter lets through now (lists.cc).
  std::vector<SandboxPtr> Select(const SandboxFilter& filter);
  std::vector<ContainerPtr> Select(const ContainerFilter& filter);
  void Forget(const SandboxPtr& sandbox);
  void Forget(const ContainerPtr& container);

  // --- events.cc
  Result<> Persist(SandboxObject& sandbox);
  Result<> Persist(ContainerObject& container);
  void PersistOrLog(SandboxObject& sandbox);
  void PersistOrLog(ContainerObject& container);
  // What a state's lock protects is told while it is held, so that nobody can see it, act on it and have that told
  // first. The first form is for that; the last one takes the table's lock, which comes before any state's.
  void Emit(LifecycleEvent::Type type, const SandboxPtr& home, const ContainerObject& container);
  void Emit(LifecycleEvent::Type type, const SandboxPtr& sandbox);
  void Emit(LifecycleEvent::Type type, const ContainerObject& container);
  SandboxPtr HomeOf(const ContainerObject& container);  // null: its pod is unknown
  void EventLoop();
  void OnExited(const runtime::ContainerExited& event);
  void OnLost(const runtime::MonitorLost& event);
  void OnAnswered(const runtime::MonitorAnswered& event);
  void TakeOver(const SandboxPtr& home, ContainerObject& container, ContainerPhase before,
                const ContainerRecord& now);
  void OnLifecycle(PendingEvent pending);

  // --- run_pod_sandbox.cc
  Result<std::string> RunPodSandbox(const Call& call, const SandboxConfig& config,
                                    const std::string& handler);
  Result<std::string> JoinRun(const Call& call, SandboxObject& sandbox, const SandboxConfig& config,
                              const std::string& handler);
  Result<> RunNew(const SandboxPtr& sandbox);
  Result<> MakeSandbox(const SandboxPlan& plan, SandboxRecord& record, Rollback& undo,
                       Trace& trace);
  Result<> MakeCgroups(const SandboxPlan& plan, const std::string& id, Rollback& undo,
                       Trace* trace);
  Result<> MakeNetworkNs(const SandboxPlan& plan, const runtime::SandboxSpec& spec);
  Result<> StartParts(const SandboxPlan& plan, const runtime::SandboxSpec& spec,
                      SandboxRecord& record, Rollback& undo);
  void AbandonRun(const SandboxPtr& sandbox, SandboxRecord record, const Error& error, bool clean);

  // --- stop_pod_sandbox.cc, remove_pod_sandbox.cc
  Result<> StopPodSandbox(const Call& call, const std::string& id);
  Result<> RemovePodSandbox(const Call& call, const std::string& id);
  Result<bool> Claim(const Call& call, SandboxObject& sandbox);  // false: it is gone
  void Unclaim(SandboxObject& sandbox);
  Result<> StopClaimed(const Call& call, const SandboxPtr& found);
  Result<> StopContainersOf(const Call& call, const std::string& sandbox_id);
  Result<> Dismantle(const SandboxRecord& record);
  Result<> RemoveClaimed(const Call& call, const SandboxPtr& sandbox);
  Result<> EraseSandbox(const SandboxPtr& sandbox);

  // --- create_container.cc, resolve_container.cc
  Result<std::string> CreateContainer(const Call& call, const std::string& sandbox_id,
                                      const ContainerConfig& config);
  Result<SandboxRecord> EnterCreate(SandboxObject& sandbox);
  void LeaveCreate(SandboxObject& sandbox);
  Result<std::string> CreateInSandbox(const Call& call, const SandboxRecord& sandbox,
                                      const ContainerConfig& config);
  Result<std::string> JoinCreate(const Call& call, ContainerObject& container,
                                 const ContainerConfig& config);
  Result<> CreateNew(const SandboxRecord& sandbox, const ContainerPtr& container);
  Result<image::FoundImage> FindImage(const ContainerConfig& config);
  Result<> MakeContainer(const SandboxRecord& sandbox, const image::FoundImage& image,
                         ContainerRecord& record, Rollback& undo, Trace& trace);
  void AbandonCreate(const ContainerPtr& container, ContainerRecord record, const Error& error,
                     bool clean);
  Result<std::string> MakeSpec(const SandboxRecord& sandbox, const image::FoundImage& image,
                               const image::ResolvedUser& user,
                               const std::vector<ResolvedMount>& mounts, ContainerRecord& record);
  Result<PodShift> ShiftOf(const SandboxRecord& sandbox);
  Result<MountSources> ResolveMounts(const PodShift& shift, ContainerRecord& record);
  Result<ResolvedMount> ResolveHostMount(const ContainerRecord& record, const MountConfig& mount,
                                         const PodShift& shift, MountSources& all);
  Result<ResolvedMount> ResolveImageMount(const MountConfig& mount, const PodShift& shift,
                                          ContainerRecord& record, MountSources& all);
  Result<std::vector<oci::PlanDevice>> ResolveDevices(const ContainerConfig& config);
  Result<> AddCdiDevices(const ContainerConfig& config, oci::Spec* spec);
  runtime::HandlerInfo HandlerOf(const std::string& name);
  Result<std::optional<TargetContainer>> ResolveTarget(const ContainerConfig& config);

  // --- start_container.cc, stop_container.cc, remove_container.cc
  Result<> StartContainer(const Call& call, const std::string& id);
  Result<bool> ClaimStart(const Call& call, ContainerObject& container);  // false: joined one
  Result<> StartClaimed(ContainerObject& container);
  void FinishStart(ContainerObject& container, int64_t started_at, const Result<>& outcome);
  Result<> StopContainer(const Call& call, const std::string& id, std::chrono::seconds grace);
  Result<> BeginStop(const ContainerPtr& container, std::chrono::seconds grace);
  Result<> AwaitStop(const Call& call, ContainerObject& container);
  Result<> DriveStop(ContainerObject& container);
  Result<> KillAndAwait(ContainerObject& container);
  Result<> EndNeverMade(ContainerObject& container);
  Result<> EndUnknown(ContainerObject& container);
  Result<> RemoveContainer(const Call& call, const std::string& id);
  Result<> RemoveFound(const Call& call, const ContainerPtr& container);
  Result<> EraseContainer(const ContainerPtr& container);

  // --- update_resources.cc
  Result<> UpdateContainer(const Call& call, const std::string& id, const LinuxResources& asked);
  Result<> EnterUpdate(const Call& call, ContainerObject& container);
  Result<> UpdateEntered(const Call& call, ContainerObject& container, const LinuxResources& asked);
  Result<> ApplyLimits(const Call& call, const ContainerRecord& record,
                       const oci::Resources& wanted, Rollback& undo);
  Result<> ApplyOomScore(const ContainerRecord& record, const LinuxResources& asked,
                         Rollback& undo);
  Result<> RestoreLimits(const ContainerRecord& record, const oci::Resources& old,
                         const oci::CgroupFiles& files);
  Result<> UpdateSandbox(const std::string& id, const std::optional<LinuxResources>& overhead,
                         const std::optional<LinuxResources>& resources);
  // `status` with the limits that the control group has.
  ContainerStatus WithActualResources(const ContainerRecord& record, ContainerStatus status);

  // --- exec_sync.cc, info.cc
  Result<ContainerRecord> NeedRunning(const std::string& id, std::string_view what);
  // Why something with a container failed that ran when it was begun: FailedPrecondition when it has ended meanwhile.
  Error IfEnded(const std::string& id, Error error);
  Result<runtime::ExecOutput> ExecSync(const Call& call, const std::string& id,
                                       const std::vector<std::string>& command,
                                       std::chrono::nanoseconds timeout);
  Result<StringMap> PodSandboxInfo(const std::string& id);
  Result<StringMap> ContainerInfo(const std::string& id);

  // --- sessions.cc
  Result<runtime::SessionStreams> StartExec(const ExecOptions& options);
  Result<SandboxRecord> NeedReady(const std::string& id, std::string_view what);

  // --- stats.cc, sandbox_stats.cc. No value of FactsOf: it is in no list.
  using GroupUsers = std::multimap<std::string, std::string>;  // control group -> ready pods in it
  std::optional<ContainerFacts> FactsOf(ContainerObject& container);
  std::optional<SandboxFacts> FactsOf(SandboxObject& sandbox, const GroupUsers& users);
  std::vector<ContainerFacts> RunningContainers(ContainerFilter filter);
  std::vector<SandboxFacts> ReadySandboxes(SandboxFilter filter);
  GroupUsers UsersOfGroups();
  // By container id. One question for a whole list: its walks share one limit of time.
  using Files = std::map<std::string, image::RootfsUsage>;
  Files ReadFiles(const std::vector<ContainerFacts>& containers);
  std::vector<ContainerStats> ReadContainers(const std::vector<ContainerFacts>& containers,
                                             const Files& files);
  std::vector<SandboxStats> ReadSandboxes(const std::vector<SandboxFacts>& sandboxes,
                                          std::vector<ContainerFacts> running);
  std::map<std::string, runtime::NetworkUsage> ReadNetworks(
      const std::vector<SandboxFacts>& sandboxes);
  StoreMetrics ReadStore(const std::vector<ContainerFacts>& containers);
  std::optional<MetricSet> MetricsOf(const SandboxFacts& sandbox, const ContainerFacts& container,
                                     const StoreMetrics& store);
  // Nothing runs in the group any more: its files are closed once no reading uses them.
  static void DropMeter(ContainerObject& container);
  void DropMeter(SandboxObject& sandbox);

  // --- remember.cc
  Result<bool> RestoreRecords(const Found& found);  // true: there are more records than were found
  Result<> RestorePod(const std::string& id, const runtime::RememberedPod& pod);

  // --- recover.cc
  Result<> Recover();
  Result<> Apply(Action& action);
  void ApplyOrLog(Action& action);
  Result<> ApplyUndo(const Action& action);
  void Keep(SandboxRecord record);
  void Keep(ContainerRecord record, bool unanswered = false);
  // Of pods that are to go and whose monitors do not answer: nobody waits for it.
  void ApplyLater(const std::string& sandbox_id, std::vector<Action> actions);

  Dependencies d;
  const EngineConfig config;
  Guarded<Table> table;
  Guarded<std::function<void(const LifecycleEvent&)>> listener;
  std::shared_ptr<EventQueue> queue = std::make_shared<EventQueue>();
  std::atomic<int64_t> last_event{0};  // written by the event thread only
  std::atomic<bool> ending{false};
  Workers workers;
  std::thread event_thread;
};

// Waits, with the lock released, until pred(value) holds. Cancelled or DeadlineExceeded when the
// client gives up first. It looks again each second at the latest: the deadline counts the time
// that the machine sleeps, a condition does not.
template <class T, class Pred>
Result<> Await(const Call& call, const Clock& clock, Guarded<T>& guarded,
               typename Guarded<T>::Locked& locked, Pred pred) {
  std::stop_callback wake(call.cancelled, [&] { guarded.NotifyAll(); });
  while (!pred(*locked)) {
    if (call.cancelled.stop_requested()) {
      return Error(Code::kCancelled, "the client gave up waiting");
    }
    std::chrono::nanoseconds slice = std::chrono::seconds(1);
    if (call.deadline.count() > 0) {
      std::chrono::nanoseconds left = call.deadline - clock.Monotonic();
      if (left.count() <= 0) return Error(Code::kDeadlineExceeded, "the client's deadline passed");
      slice = std::min(slice, left);
    }
    guarded.WaitFor(locked, slice,
                    [&](T& value) { return pred(value) || call.cancelled.stop_requested(); });
  }
  return Ok();
}

}  // namespace berth::pod
