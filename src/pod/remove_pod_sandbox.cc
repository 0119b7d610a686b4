// SPDX-License-Identifier: Apache-2.0
// RemovePodSandbox: stop, remove the containers, then what is left of the pod, its record last.
#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "pod/engine_impl.h"

namespace berth::pod {

Result<> Engine::Impl::RemovePodSandbox(const Call& call, const std::string& id) {
  SandboxPtr sandbox = TRY(FindSandbox(id), "remove pod sandbox");
  if (!sandbox) return Ok();
  if (!TRY(Claim(call, *sandbox), StrCat("remove pod sandbox ", sandbox->id))) return Ok();
  Result<> removed = RemoveClaimed(call, sandbox);
  if (!removed) {
    {
      auto state = sandbox->state.Lock();
      if (state->record.phase == SandboxPhase::kRemoving) {
        state->record.phase = SandboxPhase::kNotReady;
      }
    }
    PersistOrLog(*sandbox);
  }
  Unclaim(*sandbox);
  return TRY(std::move(removed), StrCat("remove pod sandbox ", sandbox->id)), Ok();
}

Result<> Engine::Impl::RemoveClaimed(const Call& call, const SandboxPtr& sandbox) {
  TRY(StopClaimed(call, sandbox));
  for (const ContainerPtr& container : ContainersOf(sandbox->id)) {
    TRY(RemoveFound(call, container), StrCat("container ", container->id));
  }
  SandboxRecord record;
  {
    auto state = sandbox->state.Lock();
    state->record.phase = SandboxPhase::kRemoving;
    record = state->record;
  }
  TRY(FAIL_STEP("pod.removing", Persist(*sandbox)));
  // An unreadable record does not say its group; this is where Berth makes one, and not there is success.
  if (!record.loaded)
    TRY(d.host.RemoveCgroup(StrCat(config.default_cgroup_parent, "/", record.id)));
  if (record.owns_cgroup)
    TRY(FAIL_STEP("pod.cgroup-remove", d.host.RemoveCgroup(record.cgroup_path)));
  TRY(EraseSandbox(sandbox));
  Emit(LifecycleEvent::Type::kDeleted, sandbox);
  return Ok();
}

Result<> Engine::Impl::EraseSandbox(const SandboxPtr& sandbox) {
  // Under `persist`, so that no write that is on its way brings the row back.
  std::lock_guard<std::mutex> ordered(sandbox->persist);
  TRY(FAIL_STEP("pod.forget", d.records.RemoveSandbox(sandbox->id)));
  Forget(sandbox);
  return Ok();
}

}  // namespace berth::pod
