// SPDX-License-Identifier: Apache-2.0
// Writing records in order, and the engine's event thread.
#include <algorithm>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "pod/engine_impl.h"

namespace berth::pod {

// The record is copied after `persist` is held, so the last write always has the newest state. An
// object that is gone has no row any more, and must not get one again.
Result<> Engine::Impl::Persist(SandboxObject& sandbox) {
  std::lock_guard<std::mutex> ordered(sandbox.persist);
  SandboxRecord record;
  {
    auto state = sandbox.state.Lock();
    if (state->gone || !state->record.loaded) return Ok();
    record = state->record;
  }
  return d.records.Put(record);
}

Result<> Engine::Impl::Persist(ContainerObject& container) {
  std::lock_guard<std::mutex> ordered(container.persist);
  ContainerRecord record;
  {
    auto state = container.state.Lock();
    if (state->gone || !state->record.loaded) return Ok();
    record = state->record;
  }
  return d.records.Put(record);
}

// Where the change has already happened on the node, a full disk must not undo it: Reconcile finds
// it again after a start.
void Engine::Impl::PersistOrLog(SandboxObject& sandbox) {
  if (Result<> put = Persist(sandbox); !put) {
    LogError(StrCat("pod ", sandbox.id, ": state is not on disk: ", put.error().message()));
  }
}

void Engine::Impl::PersistOrLog(ContainerObject& container) {
  if (Result<> put = Persist(container); !put) {
    LogError(StrCat("container ", container.id, ": state is not on disk: ", put.error().message()));
  }
}

void Engine::Impl::Emit(LifecycleEvent::Type type, const SandboxPtr& home,
                        const ContainerObject& container) {
  queue->Push(
      PendingEvent{{type, container.sandbox_id, container.id, d.clock.WallNanos(), {}, {}}, home});
}

void Engine::Impl::Emit(LifecycleEvent::Type type, const SandboxPtr& sandbox) {
  queue->Push(PendingEvent{{type, sandbox->id, sandbox->id, d.clock.WallNanos(), {}, {}}, sandbox});
}

void Engine::Impl::Emit(LifecycleEvent::Type type, const ContainerObject& container) {
  Emit(type, HomeOf(container), container);
}

SandboxPtr Engine::Impl::HomeOf(const ContainerObject& container) {
  auto locked = table.Lock();
  auto found = locked->sandboxes.find(container.sandbox_id);
  return found == locked->sandboxes.end() ? nullptr : found->second;
}

void Engine::Impl::EventLoop() {
  while (std::optional<EngineEvent> event = queue->Pop()) {
    if (auto* exited = std::get_if<runtime::ContainerExited>(&*event)) OnExited(*exited);
    if (auto* lost = std::get_if<runtime::MonitorLost>(&*event)) OnLost(*lost);
    if (auto* answered = std::get_if<runtime::MonitorAnswered>(&*event)) OnAnswered(*answered);
    if (auto* lifecycle = std::get_if<PendingEvent>(&*event)) OnLifecycle(std::move(*lifecycle));
  }
}

void Engine::Impl::OnLifecycle(PendingEvent pending) {
  LifecycleEvent& event = pending.event;
  // Rule 36: never going back, although the wall clock may.
  event.created_at = std::max(event.created_at, last_event.load() + 1);
  last_event = event.created_at;
  std::function<void(const LifecycleEvent&)> report = *listener.Lock();
  if (!report) return;
  if (pending.sandbox) event.sandbox = StatusOf(pending.sandbox->state.Lock()->record);
  event.containers = StatusesOf(event.sandbox_id);
  report(event);
}

void Engine::Impl::OnExited(const runtime::ContainerExited& event) {
  ContainerPtr container;
  {
    auto locked = table.Lock();
    auto found = locked->containers.find(event.container_id);
    if (found == locked->containers.end()) return;
    container = found->second;
  }
  const SandboxPtr home = HomeOf(*container);
  bool kill_rest = false;
  {
    auto state = container->state.Lock();
    if (state->Ended()) return;
    bool between =
        state->op == ContainerObject::Op::kCreating || state->op == ContainerObject::Op::kStarting;
    if (between) {
      // Whoever creates or starts it applies this when it is done, so that Started never follows
      // Stopped.
      state->pending_exit = event.exit;
      return;
    }
    ApplyExit(state->record, event.exit, d.clock.WallNanos());
    kill_rest = state->record.config.security.namespaces.pid != NamespaceMode::kContainer;
    Emit(LifecycleEvent::Type::kStopped, home, *container);
  }
  container->state.NotifyAll();
  DropMeter(*container);
  (void)FAIL_POINT("container.exited.before");
  PersistOrLog(*container);
  (void)FAIL_POINT("container.exited.after");
  // Without a PID namespace of its own the container's other processes outlive its init. Not on this
  // thread: a monitor that hangs must not hold up the events of other pods.
  if (!kill_rest) return;
  Result<> begun = workers.Start([this, container] {
    Result<> killed = d.runtime.KillAll(container->sandbox_id, container->id);
    if (!killed) LogDebug(StrCat("container ", container->id, ": ", killed.error().message()));
  });
  if (!begun) LogWarn(StrCat("container ", container->id, ": ", begun.error().message()));
}

void Engine::Impl::OnLost(const runtime::MonitorLost& event) {
  SandboxPtr sandbox;
  {
    auto locked = table.Lock();
    auto found = locked->sandboxes.find(event.sandbox_id);
    if (found == locked->sandboxes.end()) return;
    sandbox = found->second;
  }
  bool was_ready = false;
  {
    auto state = sandbox->state.Lock();
    // Whoever runs it reports this again when it is done.
    if (state->running) state->lost = true;
    was_ready = state->record.phase == SandboxPhase::kReady;
    if (was_ready) state->record.phase = SandboxPhase::kNotReady;
  }
  sandbox->state.NotifyAll();
  DropMeter(*sandbox);
  if (was_ready) {
    LogWarn(StrCat("pod ", sandbox->id, ": its monitor is gone; the pod is not ready any more"));
    PersistOrLog(*sandbox);
    Emit(LifecycleEvent::Type::kStopped, sandbox);
  }
  for (const ContainerPtr& container : ContainersOf(event.sandbox_id)) {
    bool changed = false;
    {
      auto state = container->state.Lock();
      ContainerPhase& phase = state->record.phase;
      if (state->op == ContainerObject::Op::kCreating) state->pending_lost = true;
      changed = phase == ContainerPhase::kCreated || phase == ContainerPhase::kRunning;
      if (changed) {
        phase = ContainerPhase::kUnknown;
        state->record.message = "the pod's monitor is gone";
        Emit(LifecycleEvent::Type::kStopped, sandbox, *container);
      }
    }
    if (!changed) continue;
    container->state.NotifyAll();
    DropMeter(*container);
    PersistOrLog(*container);
  }
}

}  // namespace berth::pod
