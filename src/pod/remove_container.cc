// SPDX-License-Identifier: Apache-2.0
// RemoveContainer: what runs is killed first; the log file is the kubelet's and stays.
#include "base/fail_point.h"
#include "base/strings.h"
#include "pod/engine_impl.h"

namespace berth::pod {

namespace {
using Op = ContainerObject::Op;
}  // namespace

Result<> Engine::Impl::RemoveContainer(const Call& call, const std::string& id) {
  ContainerPtr container = TRY(FindContainer(id), "remove container");
  if (!container) return Ok();
  const std::string who = StrCat("remove container ", container->id);
  Result<> removed = RemoveFound(call, container);
  if (removed) return removed;
  // The pod's monitor refuses when it is about to end; once StopPodSandbox is done nobody is in the way. It may be done
  // by the time we look.
  const SandboxPtr home = HomeOf(*container);
  if (!home) return TRY(std::move(removed), who), Ok();
  {
    auto state = home->state.Lock();
    if (!state->busy && removed.error().code() != Code::kFailedPrecondition)
      return TRY(std::move(removed), who), Ok();
    TRY(Await(call, d.clock, home->state, state, [](const auto& s) { return s.gone || !s.busy; }),
        who);
  }
  return TRY(RemoveFound(call, container), who), Ok();
}

Result<> Engine::Impl::RemoveFound(const Call& call, const ContainerPtr& container) {
  {
    auto state = container->state.Lock();
    TRY(Await(call, d.clock, container->state, state,
              [](const auto& s) { return s.gone || s.op != Op::kRemoving; }));
    if (state->gone) return Ok();
    if (state->op != Op::kNone) {
      return Error(Code::kFailedPrecondition, "it is being created or started");
    }
    state->op = Op::kRemoving;
  }
  auto remove = [&]() -> Result<> {
    TRY(BeginStop(container, std::chrono::seconds(0)));
    TRY(AwaitStop(call, *container));
    {
      // Stopping one whose record cannot be read deletes it (EndUnknown), and its end is seen before that is done.
      auto state = container->state.Lock();
      TRY(Await(call, d.clock, container->state, state,
                [](const auto& s) { return s.record.loaded || !s.stop.active; }));
    }
    return EraseContainer(container);
  };
  Result<> removed = remove();
  if (removed) return removed;
  {
    auto state = container->state.Lock();
    state->op = Op::kNone;
    if (state->record.phase == ContainerPhase::kRemoving) {
      state->record.phase = ContainerPhase::kExited;
    }
  }
  container->state.NotifyAll();
  PersistOrLog(*container);
  return removed;
}

Result<> Engine::Impl::EraseContainer(const ContainerPtr& container) {
  container->state.Lock()->record.phase = ContainerPhase::kRemoving;
  TRY(FAIL_STEP("container.removing", Persist(*container)));
  TRY(FAIL_STEP("container.delete", d.runtime.Delete(container->sandbox_id, container->id)));
  TRY(FAIL_STEP("container.rootfs-remove", d.images.RemoveRootfs(container->id)),
      "root file system");
  const SandboxPtr home = HomeOf(*container);
  {
    // Under `persist`, so that no write that is on its way brings the row back.
    std::lock_guard<std::mutex> ordered(container->persist);
    TRY(FAIL_STEP("container.forget", d.records.RemoveContainer(container->id)));
    Forget(container);
  }
  Emit(LifecycleEvent::Type::kDeleted, home, *container);
  return Ok();
}

}  // namespace berth::pod
