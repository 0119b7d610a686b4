// SPDX-License-Identifier: Apache-2.0
// StopContainer. One worker drives a container's stop; callers only set its deadline and wait, so a
// client that gives up changes nothing, and a later call can shorten the grace period. No lock is held
// while waiting.
//
//   StopContainer -> BeginStop (deadline = min)
//     worker: [signal once] -> wait for the deadline -> KillAll -> exit seen
#include <algorithm>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "pod/engine_impl.h"

namespace berth::pod {

namespace {
using Op = ContainerObject::Op;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr seconds kLongestGrace{int64_t{10} * 365 * 24 * 3600};
// SIGKILL ends a process at once, unless it hangs in the kernel: then it is tried again, and in the
// end the caller is told, rather than kept for ever.
constexpr seconds kKillRetry{10};
constexpr int kKillAttempts = 10;

constexpr seconds kLossPatience{5};

// It has ended, or nobody will tell any more.
bool Decided(const ContainerObject::State& state) {
  return state.Ended() || state.record.phase == ContainerPhase::kUnknown;
}

bool InBetween(Op op) { return op == Op::kCreating || op == Op::kStarting; }
}  // namespace

Result<> Engine::Impl::StopContainer(const Call& call, const std::string& id, seconds grace) {
  ContainerPtr container = TRY(FindContainer(id), "stop container");
  if (!container) return Ok();
  const std::string who = StrCat("stop container ", container->id);
  TRY(BeginStop(container, grace), who);
  return TRY(AwaitStop(call, *container), who), Ok();
}

Result<> Engine::Impl::BeginStop(const ContainerPtr& container, seconds grace) {
  grace = std::clamp(grace, seconds(0), kLongestGrace);
  {
    auto state = container->state.Lock();
    if (state->Ended()) return Ok();
    nanoseconds deadline = d.clock.Monotonic() + grace;
    ContainerObject::Stop& stop = state->stop;
    bool joins = stop.active;
    stop.deadline = joins ? std::min(stop.deadline, deadline) : deadline;
    stop.active = true;
    stop.error.reset();
    if (joins) {
      container->state.NotifyAll();
      return Ok();
    }
  }
  Result<> worker = workers.Start([this, container] {
    Result<> driven = DriveStop(*container);
    {
      auto state = container->state.Lock();
      state->stop.active = false;
      if (!driven) state->stop.error = std::move(driven.error());
    }
    container->state.NotifyAll();
  });
  if (worker) return worker;
  {
    auto state = container->state.Lock();
    state->stop.active = false;
    state->stop.error = worker.error().Clone();
  }
  container->state.NotifyAll();
  return worker;
}

Result<> Engine::Impl::AwaitStop(const Call& call, ContainerObject& container) {
  auto state = container.state.Lock();
  TRY(Await(call, d.clock, container.state, state,
            [](const auto& s) { return s.Ended() || !s.stop.active; }));
  if (!state->Ended() && state->stop.error) return state->stop.error->Clone();
  if (!state->Ended()) return Error(Code::kUnavailable, "the daemon is ending");
  return Ok();
}

Result<> Engine::Impl::DriveStop(ContainerObject& container) {
  while (!ending) {
    int signal = 0;
    {
      auto state = container.state.Lock();
      if (state->Ended()) return Ok();
      if (InBetween(state->op)) {
        container.state.WaitFor(state, seconds(1),
                                [&](auto& s) { return !InBetween(s.op) || ending; });
        continue;
      }
      if (state->record.phase == ContainerPhase::kUnknown || !state->record.loaded) break;
      nanoseconds left = state->stop.deadline - d.clock.Monotonic();
      // One that never ran has nobody to hear a signal.
      if (state->record.phase == ContainerPhase::kCreated || left.count() <= 0) break;
      if (state->stop.signalled) {
        nanoseconds deadline = state->stop.deadline;
        container.state.WaitFor(state, std::min<nanoseconds>(left, seconds(1)), [&](auto& s) {
          return s.Ended() || s.stop.deadline != deadline || ending;
        });
        continue;
      }
      state->stop.signalled = true;
      signal = state->record.stop_signal;
    }
    Result<> sent =
        FAIL_STEP("container.signal", d.runtime.Signal(container.sandbox_id, container.id, signal));
    if (sent) continue;
    auto state = container.state.Lock();
    if (sent.error().code() == Code::kUnavailable &&
        container.state.WaitFor(state, kLossPatience,
                                [&](auto& s) { return Decided(s) || ending; }))
      continue;
    state->stop.signalled = false;  // the next call tries again
    return TRY(std::move(sent), StrCat("signal ", signal)), Ok();
  }
  if (ending) return Ok();
  if (IsNeverMade(container.state.Lock()->record)) return EndNeverMade(container);
  return KillAndAwait(container);
}

Result<> Engine::Impl::EndNeverMade(ContainerObject& container) {
  const SandboxPtr home = HomeOf(container);
  {
    auto state = container.state.Lock();
    int64_t now = d.clock.WallNanos();
    ApplyStartError(state->record, 0, now, state->record.message);
    Emit(LifecycleEvent::Type::kStopped, home, container);
  }
  container.state.NotifyAll();
  PersistOrLog(container);
  return Ok();
}

Result<> Engine::Impl::KillAndAwait(ContainerObject& container) {
  for (int attempt = 0; attempt < kKillAttempts && !ending; ++attempt) {
    bool watched = false;
    {
      auto state = container.state.Lock();
      if (state->Ended()) return Ok();
      watched = state->record.phase != ContainerPhase::kUnknown && state->record.loaded;
    }
    if (!watched) return EndUnknown(container);
    Result<> killed =
        FAIL_STEP("container.kill", d.runtime.KillAll(container.sandbox_id, container.id));
    auto state = container.state.Lock();
    // A monitor that cannot be reached has died, and the news of it is on its way.
    bool lost = !killed && killed.error().code() == Code::kUnavailable;
    if (!killed && !lost && !Decided(*state)) return TRY(std::move(killed), "kill"), Ok();
    bool decided = container.state.WaitFor(state, lost ? kLossPatience : kKillRetry,
                                           [&](auto& s) { return Decided(s) || ending; });
    if (lost && !decided) return TRY(std::move(killed), "kill"), Ok();
  }
  auto state = container.state.Lock();
  if (state->Ended() || ending) return Ok();
  return Error(Code::kDeadlineExceeded, "its processes do not end although they were killed");
}

// Nobody watches it any more: the OCI runtime's own record is what finds its processes.
Result<> Engine::Impl::EndUnknown(ContainerObject& container) {
  TRY(FAIL_STEP("container.end-unknown", d.runtime.Delete(container.sandbox_id, container.id)),
      "delete");
  const SandboxPtr home = HomeOf(container);
  {
    auto state = container.state.Lock();
    if (state->Ended()) return Ok();
    ApplyUnknownExit(state->record, d.clock.WallNanos(), state->record.message);
    Emit(LifecycleEvent::Type::kStopped, home, container);
  }
  container.state.NotifyAll();
  PersistOrLog(container);
  return Ok();
}

}  // namespace berth::pod
