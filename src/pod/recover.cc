// SPDX-License-Identifier: Apache-2.0
// After a start: look, decide with Reconcile, apply. A step that fails is logged and leaves its
// object visible, so that the kubelet's Stop and Remove try again; it never keeps the daemon from
// serving.
#include <algorithm>
#include <map>
#include <system_error>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "pod/engine_impl.h"

namespace berth::pod {

namespace {

// By pod: what concerns pods that are to go altogether and whose monitors do not answer. The undo of a container alone
// fails at once for such a monitor, and leaves the container visible.
std::map<std::string, std::vector<Action>> TakeForLater(const Found& found,
                                                        std::vector<Action>& actions) {
  std::map<std::string, std::vector<Action>> later;
  for (const runtime::SandboxObservation& pod : found.observations) {
    const bool goes = std::ranges::any_of(actions, [&](const Action& action) {
      return action.sandbox_id == pod.sandbox_id &&
             (action.kind == Action::Kind::kUndoSandbox ||
              action.kind == Action::Kind::kRemoveStraySandbox);
    });
    if (pod.unanswered && goes) later[pod.sandbox_id];
  }
  std::vector<Action> now;
  for (Action& action : actions) {
    auto waits = later.find(action.sandbox_id);
    (waits == later.end() ? now : waits->second).push_back(std::move(action));
  }
  actions = std::move(now);
  return later;
}

}  // namespace

Result<> Engine::Impl::Recover() {
  Found found;
  found.sandboxes = TRY(d.records.LoadSandboxes(), "recover");
  found.containers = TRY(d.records.LoadContainers(), "recover");
  found.observations = TRY(d.runtime.Observe(), "recover");
  if (TRY(RestoreRecords(found), "recover")) {
    found.sandboxes = TRY(d.records.LoadSandboxes(), "recover");
    found.containers = TRY(d.records.LoadContainers(), "recover");
  }
  found.network_namespaces = TRY(d.network.ListNs(), "recover");
  found.rootfs = TRY(d.images.ListRootfs(), "recover");
  found.boot_id = d.host.Facts().boot_id;
  found.now = d.clock.WallNanos();
  std::vector<Action> actions = Reconcile(found);
  std::map<std::string, std::vector<Action>> later = TakeForLater(found, actions);
  for (Action& action : actions) ApplyOrLog(action);
  std::vector<std::string> known;
  {
    auto locked = table.Lock();
    for (const auto& [id, sandbox] : locked->sandboxes) known.push_back(id);
  }
  for (const auto& [id, waiting] : later) known.push_back(id);
  if (Result<> collected = d.network.CollectGarbage(known); !collected) {
    LogWarn(StrCat("recover: network garbage: ", collected.error().message()));
  }
  // Not before: an exit that comes between Observe and Keep would find no container.
  try {
    event_thread = std::thread([this] { EventLoop(); });
  } catch (const std::system_error& e) {
    return Error(Code::kResourceExhausted, StrCat("start the event thread: ", e.what()));
  }
  for (auto& [id, waiting] : later) ApplyLater(id, std::move(waiting));
  return Ok();
}

void Engine::Impl::ApplyLater(const std::string& sandbox_id, std::vector<Action> actions) {
  auto shared = std::make_shared<std::vector<Action>>(std::move(actions));
  Result<> begun = workers.Start([this, sandbox_id, shared] {
    // First, since it ends the monitor if that goes on saying nothing, on which all else depends.
    if (Result<> stopped = d.runtime.StopSandbox(sandbox_id); !stopped)
      LogWarn(StrCat("recover: pod ", sandbox_id, ": ", stopped.error().message()));
    for (Action& action : *shared) ApplyOrLog(action);
  });
  if (!begun) LogWarn(StrCat("recover: pod ", sandbox_id, ": ", begun.error().message()));
}

void Engine::Impl::ApplyOrLog(Action& action) {
  Result<> applied = Apply(action);
  if (applied) return;
  LogWarn(StrCat("recover: pod ", action.sandbox_id, " container ", action.container_id, ": ",
                 applied.error().message()));
}

Result<> Engine::Impl::Apply(Action& action) {
  switch (action.kind) {
    case Action::Kind::kKeepSandbox:
      Keep(action.sandbox);
      return action.changed ? d.records.Put(action.sandbox) : Ok();
    case Action::Kind::kKeepContainer:
      Keep(action.container, action.unanswered);
      return action.changed ? d.records.Put(action.container) : Ok();
    case Action::Kind::kDetach:
      return d.network.Detach(action.sandbox_id);
    case Action::Kind::kUndoContainer:
    case Action::Kind::kUndoSandbox:
      return ApplyUndo(action);
    case Action::Kind::kRemoveStrayContainer:
      return d.runtime.Delete(action.sandbox_id, action.container_id);
    case Action::Kind::kRemoveStraySandbox:
      return d.runtime.StopSandbox(action.sandbox_id);
    case Action::Kind::kRemoveStrayNs:
      TRY(d.network.Detach(action.sandbox_id));
      return d.network.RemoveNs(action.sandbox_id);
    case Action::Kind::kRemoveStrayRootfs:
      return d.images.RemoveRootfs(action.container_id);
  }
  return Ok();
}

// What was begun and never told to anybody, or was being removed. If it cannot be undone now it
// becomes visible.
Result<> Engine::Impl::ApplyUndo(const Action& action) {
  if (action.kind == Action::Kind::kUndoContainer) {
    auto undo = [&]() -> Result<> {
      TRY(FAIL_STEP("recover.delete", d.runtime.Delete(action.sandbox_id, action.container_id)));
      TRY(FAIL_STEP("recover.rootfs", d.images.RemoveRootfs(action.container_id)));
      return FAIL_STEP("recover.container", d.records.RemoveContainer(action.container_id));
    };
    Result<> undone = undo();
    if (undone) return undone;
    ContainerRecord record = action.container;
    ApplyUnknownExit(record, d.clock.WallNanos(), undone.error().message());
    Keep(std::move(record));
    return undone;
  }
  const SandboxRecord& record = action.sandbox;
  auto undo = [&]() -> Result<> {
    TRY(FAIL_STEP("recover.dismantle", Dismantle(record)));
    if (record.owns_cgroup)
      TRY(FAIL_STEP("recover.cgroup", d.host.RemoveCgroup(record.cgroup_path)));
    return FAIL_STEP("recover.sandbox", d.records.RemoveSandbox(record.id));
  };
  Result<> undone = undo();
  if (undone) return undone;
  SandboxRecord kept = record;
  kept.phase = SandboxPhase::kNotReady;
  kept.stopped = false;
  Keep(std::move(kept));
  return undone;
}

// Names stay reserved over a restart.
void Engine::Impl::Keep(SandboxRecord record) {
  auto locked = table.Lock();
  if (record.loaded) locked->sandbox_names.emplace(NameKey(record.config.metadata), record.id);
  std::string id = record.id;
  locked->sandboxes.emplace(id, std::make_shared<SandboxObject>(std::move(record)));
}

void Engine::Impl::Keep(ContainerRecord record, bool unanswered) {
  auto locked = table.Lock();
  if (record.loaded) {
    locked->container_names.emplace(NameKey(record.sandbox_id, record.config.metadata), record.id);
  }
  std::string id = record.id;
  auto container = std::make_shared<ContainerObject>(std::move(record));
  container->state.Lock()->unanswered = unanswered;
  locked->containers.emplace(id, std::move(container));
}

}  // namespace berth::pod
