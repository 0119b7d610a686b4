// SPDX-License-Identifier: Apache-2.0
#include "pod/reconcile.h"

#include <map>
#include <set>

#include "pod/status.h"

namespace berth::pod {

namespace {

using Kind = Action::Kind;

struct Seen {
  const runtime::SandboxObservation* pod = nullptr;
  const runtime::ContainerObservation* container = nullptr;
};

// What was found, by id.
struct Index {
  explicit Index(const Found& found) {
    for (const SandboxRecord& record : found.sandboxes) sandboxes[record.id] = &record;
    for (const ContainerRecord& record : found.containers) containers[record.id] = &record;
    for (const auto& pod : found.observations) {
      pods[pod.sandbox_id] = &pod;
      for (const auto& container : pod.containers)
        seen[container.container_id] = {&pod, &container};
    }
    namespaces.insert(found.network_namespaces.begin(), found.network_namespaces.end());
  }
  std::map<std::string, const SandboxRecord*> sandboxes;
  std::map<std::string, const ContainerRecord*> containers;
  std::map<std::string, const runtime::SandboxObservation*> pods;
  std::map<std::string, Seen> seen;
  std::set<std::string> namespaces;
};

bool IsUndone(const SandboxRecord& record) {
  return record.loaded &&
         (record.phase == SandboxPhase::kIntent || record.phase == SandboxPhase::kRemoving);
}

bool IsUndone(const ContainerRecord& record) {
  return record.loaded &&
         (record.phase == ContainerPhase::kIntent || record.phase == ContainerPhase::kRemoving);
}

Action MakeAction(Kind kind, std::string sandbox_id, std::string container_id = {}) {
  Action action;
  action.kind = kind;
  action.sandbox_id = std::move(sandbox_id);
  action.container_id = std::move(container_id);
  return action;
}

// A pod stays ready if its monitor lives, whether it answers or not, and its network namespace is where it was, and the boot
// is the same.
Action KeepSandbox(const Found& found, const Index& index, SandboxRecord record) {
  Action action = MakeAction(Kind::kKeepSandbox, record.id);
  if (!record.loaded) {
    record.phase = SandboxPhase::kNotReady;
  } else if (record.phase == SandboxPhase::kReady) {
    auto pod = index.pods.find(record.id);
    bool alive = pod != index.pods.end() && (pod->second->monitor_alive || pod->second->unanswered);
    bool network = UsesHostNetwork(record.config) || index.namespaces.contains(record.id);
    bool same_boot = record.boot_id == found.boot_id;
    if (!alive || !network || !same_boot) {
      record.phase = SandboxPhase::kNotReady;
      if (!same_boot || !network) record.ips.clear();
      action.changed = true;
    } else if (pod->second->handle) {
      record.handle = pod->second->handle;
    }
  }
  action.sandbox = std::move(record);
  return action;
}

// What became of a container that was created or running when the daemon ended.
void ReconcileState(const Found& found, const Index& index, ContainerRecord& record) {
  auto seen = index.seen.find(record.id);
  if (seen != index.seen.end() && seen->second.container->exit) {
    ApplyExit(record, *seen->second.container->exit, found.now);
    return;
  }
  auto sandbox = index.sandboxes.find(record.sandbox_id);
  bool rebooted = sandbox != index.sandboxes.end() && sandbox->second->loaded &&
                  sandbox->second->boot_id != found.boot_id;
  if (rebooted) {
    ApplyUnknownExit(record, found.now, "the machine was restarted");
    return;
  }
  auto pod = index.pods.find(record.sandbox_id);
  if (pod == index.pods.end()) {
    ApplyUnknownExit(record, found.now, "nothing of its pod was found after a restart");
  } else if (pod->second->unanswered) {
    return;  // as one whose monitor hangs while the daemon runs
  } else if (!pod->second->monitor_alive) {
    // Its processes may be alive, with nobody to watch them: neither running nor exited would be
    // true.
    record.phase = ContainerPhase::kUnknown;
    record.message = "the pod's monitor is gone and left no exit record";
  } else if (seen == index.seen.end() && IsNeverMade(record)) {
    return;
  } else if (seen == index.seen.end()) {
    ApplyUnknownExit(record, found.now, "its monitor does not know it");
  } else {
    bool running = seen->second.container->phase == runtime::ContainerPhase::kRunning;
    record.phase = running ? ContainerPhase::kRunning : ContainerPhase::kCreated;
    // Started, and the daemon ended before it could write when.
    if (running && record.started_at == 0) record.started_at = found.now;
    record.pid = seen->second.container->pid;
  }
}

Action KeepContainer(const Found& found, const Index& index, ContainerRecord record) {
  Action action = MakeAction(Kind::kKeepContainer, record.sandbox_id, record.id);
  if (!record.loaded) {
    record.phase = ContainerPhase::kUnknown;
    // Its row does not tell the pod; the monitor does.
    auto seen = index.seen.find(record.id);
    if (seen != index.seen.end()) record.sandbox_id = seen->second.pod->sandbox_id;
  } else if (record.phase != ContainerPhase::kExited) {
    ContainerPhase phase = record.phase;
    int pid = record.pid;
    ReconcileState(found, index, record);
    action.changed = phase != record.phase || pid != record.pid;
  }
  action.sandbox_id = record.sandbox_id;
  auto pod = index.pods.find(record.sandbox_id);
  action.unanswered = pod != index.pods.end() && pod->second->unanswered;
  action.container = std::move(record);
  return action;
}

// Things that no record explains. A pod's own are only looked at if nothing else of it will be
// taken away anyhow.
void RemoveStrays(const Found& found, const Index& index, std::vector<Action>& out) {
  for (const auto& [id, seen] : index.seen) {
    if (index.containers.contains(id)) continue;
    out.push_back(MakeAction(Kind::kRemoveStrayContainer, seen.pod->sandbox_id, id));
  }
  for (const auto& [id, pod] : index.pods) {
    if (!index.sandboxes.contains(id)) out.push_back(MakeAction(Kind::kRemoveStraySandbox, id));
  }
  for (const std::string& id : index.namespaces) {
    if (!index.sandboxes.contains(id)) out.push_back(MakeAction(Kind::kRemoveStrayNs, id));
  }
  for (const std::string& id : found.rootfs) {
    if (!index.containers.contains(id)) {
      out.push_back(MakeAction(Kind::kRemoveStrayRootfs, {}, id));
    }
  }
}

}  // namespace

std::vector<Action> Reconcile(const Found& found) {
  Index index(found);
  std::vector<Action> out;
  for (const SandboxRecord& record : found.sandboxes) {
    if (IsUndone(record)) continue;
    out.push_back(KeepSandbox(found, index, record));
    // Also the address is given back now, not only when the kubelet stops the pod.
    bool rebooted = record.loaded && record.boot_id != found.boot_id;
    if (rebooted && record.network_attached && !record.stopped) {
      out.push_back(MakeAction(Kind::kDetach, record.id));
    }
  }
  for (const ContainerRecord& record : found.containers) {
    auto sandbox = index.sandboxes.find(record.sandbox_id);
    bool pod_undone = sandbox != index.sandboxes.end() && IsUndone(*sandbox->second);
    if (pod_undone || IsUndone(record)) {
      Action action = MakeAction(Kind::kUndoContainer, record.sandbox_id, record.id);
      action.container = record;
      out.push_back(std::move(action));
    } else {
      out.push_back(KeepContainer(found, index, record));
    }
  }
  RemoveStrays(found, index, out);
  for (const SandboxRecord& record : found.sandboxes) {
    if (!IsUndone(record)) continue;
    Action action = MakeAction(Kind::kUndoSandbox, record.id);
    action.sandbox = record;
    out.push_back(std::move(action));
  }
  return out;
}

}  // namespace berth::pod
