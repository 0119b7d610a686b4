// SPDX-License-Identifier: Apache-2.0
// A monitor that hung when the daemon started answers. Until then its pod and containers were told as on record; now
// Reconcile says what is true, and what has changed meanwhile by a call of our own stays.
#include "base/log.h"
#include "base/strings.h"
#include "pod/engine_impl.h"

namespace berth::pod {

void Engine::Impl::OnAnswered(const runtime::MonitorAnswered& event) {
  const std::string& id = event.observation.sandbox_id;
  SandboxPtr sandbox;
  {
    auto locked = table.Lock();
    auto found = locked->sandboxes.find(id);
    if (found == locked->sandboxes.end()) return;  // on its way out: ApplyLater
    sandbox = found->second;
  }
  Found found;
  found.observations = {event.observation};
  found.network_namespaces = {id};  // looked for at the start
  found.boot_id = d.host.Facts().boot_id;
  found.now = d.clock.WallNanos();
  found.sandboxes = {sandbox->state.Lock()->record};
  std::map<std::string, ContainerPtr> asked;
  for (const ContainerPtr& container : ContainersOf(id)) {
    auto state = container->state.Lock();
    // Others came after the start: what the monitor says here may be from before them.
    if (!std::exchange(state->unanswered, false) || state->Ended()) continue;
    found.containers.push_back(state->record);
    asked.emplace(container->id, container);
  }
  std::map<std::string, ContainerPhase> before;
  for (const ContainerRecord& record : found.containers) before.emplace(record.id, record.phase);
  for (const Action& action : Reconcile(found)) {
    if (action.kind == Action::Kind::kKeepSandbox) {
      auto state = sandbox->state.Lock();
      if (state->record.phase == SandboxPhase::kReady) state->record.handle = action.sandbox.handle;
    }
    if (action.kind != Action::Kind::kKeepContainer || !action.changed) continue;
    TakeOver(sandbox, *asked.at(action.container_id), before.at(action.container_id),
             action.container);
  }
}

void Engine::Impl::TakeOver(const SandboxPtr& home, ContainerObject& container,
                            ContainerPhase before, const ContainerRecord& now) {
  {
    auto state = container.state.Lock();
    ContainerRecord& record = state->record;
    // A call of ours has come first. Exits were told before this, as exits.
    if (state->gone || record.phase != before || state->op != ContainerObject::Op::kNone) return;
    const ContainerPhase phase = now.phase;
    // It was started by a call of ours between what the monitor said and now.
    if (before == ContainerPhase::kRunning && phase == ContainerPhase::kCreated) return;
    record.phase = phase;
    record.pid = now.pid;
    record.started_at = now.started_at;
    record.finished_at = now.finished_at;
    record.exit_code = now.exit_code;
    record.reason = now.reason;
    record.message = now.message;
    if (phase == ContainerPhase::kExited) Emit(LifecycleEvent::Type::kStopped, home, container);
    if (phase == ContainerPhase::kRunning && before != phase)
      Emit(LifecycleEvent::Type::kStarted, home, container);
  }
  container.state.NotifyAll();
  PersistOrLog(container);
}

}  // namespace berth::pod
