// SPDX-License-Identifier: Apache-2.0
// StartContainer: only from CREATED and only in a READY pod. A repeat joins the call in flight.
#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "pod/engine_impl.h"

namespace berth::pod {

namespace {
using Op = ContainerObject::Op;
using Phase = ContainerPhase;

std::string_view PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kRunning:
      return "running";
    case Phase::kExited:
      return "exited";
    case Phase::kRemoving:
      return "being removed";
    case Phase::kUnknown:
      return "in an unknown state";
    default:
      return "being created";
  }
}
}  // namespace

Result<> Engine::Impl::StartContainer(const Call& call, const std::string& id) {
  ContainerPtr container = TRY(NeedContainer(id), "start container");
  const std::string who = StrCat("start container ", container->id);
  SandboxPtr sandbox = TRY(NeedSandbox(container->sandbox_id), who);
  {
    auto state = sandbox->state.Lock();
    if (state->record.phase != SandboxPhase::kReady) {
      return Error(Code::kFailedPrecondition,
                   StrCat(who, ": pod sandbox ", sandbox->id, " is not ready"));
    }
  }
  if (!TRY(ClaimStart(call, *container), who)) return Ok();
  return TRY(StartClaimed(*container), who), Ok();
}

Result<> Engine::Impl::StartClaimed(ContainerObject& container) {
  int64_t now = d.clock.WallNanos();
  container.start_trace.Begin();
  Result<> started = Ok();
  if (ContainerRecord record = container.state.Lock()->record; IsNeverMade(record)) {
    started = Error(Code::kFailedPrecondition, record.message);
  } else {
    started = FAIL_STEP("container.start", d.runtime.Start(container.sandbox_id, container.id,
                                                           &container.start_trace));
  }
  FinishStart(container, now, started);
  container.start_trace.End();
  return started;
}

Result<bool> Engine::Impl::ClaimStart(const Call& call, ContainerObject& container) {
  auto state = container.state.Lock();
  if (state->op == Op::kStarting) {
    TRY(Await(call, d.clock, container.state, state,
              [](const auto& s) { return s.op != Op::kStarting; }));
    if (state->start_error) return state->start_error->Clone();
    return false;
  }
  if (state->gone) return Error(Code::kNotFound, "it was removed");
  if (state->op == Op::kRemoving) return Error(Code::kFailedPrecondition, "it is being removed");
  if (state->stop.active) return Error(Code::kFailedPrecondition, "it is being stopped");
  if (state->record.phase != Phase::kCreated) {
    return Error(Code::kFailedPrecondition, StrCat("it is ", PhaseName(state->record.phase)));
  }
  state->op = Op::kStarting;
  state->start_error.reset();
  return true;
}

// A failed start ends as EXITED, 128, StartError, also when its process has been
// seen to end.
void Engine::Impl::FinishStart(ContainerObject& container, int64_t started_at,
                               const Result<>& outcome) {
  using Type = LifecycleEvent::Type;
  const SandboxPtr home = HomeOf(container);
  std::optional<runtime::ExitRecord> exit;
  {
    auto state = container.state.Lock();
    state->op = Op::kNone;
    exit = std::exchange(state->pending_exit, std::nullopt);
    ContainerRecord& record = state->record;
    if (outcome) {
      record.started_at = started_at;
      if (record.phase == Phase::kCreated) {  // otherwise the monitor was lost meanwhile
        record.phase = Phase::kRunning;
        Emit(Type::kStarted, home, container);
      }
    } else {
      ApplyStartError(record, started_at, d.clock.WallNanos(), outcome.error().message());
      state->start_error = outcome.error().Clone();
      Emit(Type::kStopped, home, container);
    }
  }
  container.state.NotifyAll();
  (void)FAIL_POINT("container.started.before");
  (void)Traced(&container.start_trace, "running record",
               [&] { return PersistOrLog(container), true; });
  (void)FAIL_POINT("container.started.after");
  if (outcome) {
    if (exit) queue->Push(runtime::ContainerExited{container.sandbox_id, container.id, *exit});
    return;
  }
  // The OCI runtime's init may still wait to be started; RemoveContainer takes away what it left.
  if (Result<> killed = d.runtime.KillAll(container.sandbox_id, container.id); !killed) {
    LogDebug(StrCat("container ", container.id, ": kill: ", killed.error().message()));
  }
}

}  // namespace berth::pod
