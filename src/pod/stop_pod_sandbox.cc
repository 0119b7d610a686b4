// SPDX-License-Identifier: Apache-2.0
// StopPodSandbox: kills the containers and records their ends, frees the pod's address, ends the
// monitor. What stays until RemovePodSandbox: the records, the root file systems and the log files.
// Idempotent; a failed step is done again next time.
#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "pod/engine_impl.h"

namespace berth::pod {

Result<> Engine::Impl::StopPodSandbox(const Call& call, const std::string& id) {
  SandboxPtr sandbox = TRY(FindSandbox(id), "stop pod sandbox");
  if (!sandbox) return Ok();
  if (!TRY(Claim(call, *sandbox), StrCat("stop pod sandbox ", sandbox->id))) return Ok();
  Result<> stopped = StopClaimed(call, sandbox);
  Unclaim(*sandbox);
  return TRY(std::move(stopped), StrCat("stop pod sandbox ", sandbox->id)), Ok();
}

// One stop or removal at a time. Whoever waited looks again at what is left to do, which after a
// success is nothing.
Result<bool> Engine::Impl::Claim(const Call& call, SandboxObject& sandbox) {
  auto state = sandbox.state.Lock();
  TRY(Await(call, d.clock, sandbox.state, state,
            [](const auto& s) { return s.gone || (!s.busy && !s.running); }));
  if (state->gone) return false;
  state->busy = true;
  return true;
}

void Engine::Impl::Unclaim(SandboxObject& sandbox) {
  sandbox.state.Lock()->busy = false;
  sandbox.state.NotifyAll();
}

Result<> Engine::Impl::StopClaimed(const Call& call, const SandboxPtr& found) {
  SandboxObject& sandbox = *found;
  bool was_ready = false;
  {
    auto state = sandbox.state.Lock();
    if (state->record.stopped) return Ok();
    was_ready = state->record.phase == SandboxPhase::kReady;
    // From here on CreateContainer refuses; those that were let in before are waited for.
    state->record.phase = SandboxPhase::kNotReady;
  }
  (void)FAIL_POINT("pod.not-ready.before");
  if (was_ready) PersistOrLog(sandbox);
  (void)FAIL_POINT("pod.not-ready.after");
  {
    auto state = sandbox.state.Lock();
    TRY(Await(call, d.clock, sandbox.state, state, [](const auto& s) { return s.creating == 0; }),
        "wait for containers being created");
  }
  TRY(StopContainersOf(call, sandbox.id));
  DropMeter(sandbox);
  SandboxRecord record = sandbox.state.Lock()->record;
  TRY(Dismantle(record));
  {
    auto state = sandbox.state.Lock();
    state->record.stopped = true;
    state->record.network_attached = false;
    state->record.handle.reset();
    Emit(LifecycleEvent::Type::kStopped, found);
  }
  // Should this write fail, the next start only finds less to do than the record says.
  (void)FAIL_POINT("pod.stopped.before");
  PersistOrLog(sandbox);
  (void)FAIL_POINT("pod.stopped.after");
  return Ok();
}

// All at once, without grace: the kubelet has stopped them with theirs before.
Result<> Engine::Impl::StopContainersOf(const Call& call, const std::string& sandbox_id) {
  std::vector<ContainerPtr> containers = ContainersOf(sandbox_id);
  Result<> first;
  for (const ContainerPtr& container : containers) {
    Result<> begun = BeginStop(container, std::chrono::seconds(0));
    if (!begun && first) first = std::move(begun);
  }
  for (const ContainerPtr& container : containers) {
    Result<> stopped = AwaitStop(call, *container);
    if (!stopped && first)
      first = std::move(stopped.error()).Wrap(StrCat("container ", container->id));
  }
  return first;
}

// Every step is tried even when another fails. The namespace outlives a failed DEL, which plugins
// like to have.
Result<> Engine::Impl::Dismantle(const SandboxRecord& record) {
  Result<> first;
  auto note = [&](std::string_view step, Result<> outcome) {
    if (outcome) return;
    Error error = std::move(outcome.error()).Wrap(step);
    if (!first) {
      LogWarn(StrCat("pod ", record.id, ": ", error.message()));
    } else {
      first = std::move(error);
    }
  };
  if (!record.loaded || !UsesHostNetwork(record.config)) {
    Result<> detached = FAIL_STEP("pod.detach", d.network.Detach(record.id));
    bool ok = detached.has_value();
    note("detach the network", std::move(detached));
    if (ok) note("network namespace", FAIL_STEP("pod.netns-remove", d.network.RemoveNs(record.id)));
  }
  note("end the monitor", FAIL_STEP("pod.monitor-stop", d.runtime.StopSandbox(record.id)));
  // Whether it was made is not in the record: not there is success.
  if (!record.cgroup_path.empty()) {
    note("control group of the network",
         d.host.RemoveCgroup(NetworkCgroup(record.cgroup_path, record.id, config.systemd_cgroup),
                             runtime::Host::Parent::kOfOthers));
  }
  return first;
}

}  // namespace berth::pod
