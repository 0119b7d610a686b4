// SPDX-License-Identifier: Apache-2.0
// UpdateContainerResources and UpdatePodSandboxResources.
//
//   wait for a start or another update; check; read the group's files (the old values)
//     -> `update` of the OCI runtime      turns shares into weights, tells systemd
//     -> read again, write what it left   docs/decisions/0009-updating-resources.md says what that can be
//     -> oom_score_adj of the processes -> record
//   a failure anywhere: old files, old scores; the record was not touched
#include <algorithm>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "oci/build_spec.h"
#include "oci/spec_json.h"
#include "pod/cgroup_path.h"
#include "pod/engine_impl.h"
#include "pod/plan_resources.h"

namespace berth::pod {

namespace {

using Op = ContainerObject::Op;
using Phase = ContainerPhase;

LinuxResources InForce(const ContainerRecord& record) {
  const auto& resources = record.resources ? record.resources : record.config.resources;
  return resources.value_or(LinuxResources());
}

// Memory, and memory with swap, are one decision: when one changes, both are written.
LinuxResources ToApply(const LinuxResources& asked, const LinuxResources& merged) {
  LinuxResources out = asked;
  if (asked.memory_limit == 0 && asked.memory_swap_limit == 0) return out;
  out.memory_limit = merged.memory_limit;
  out.memory_swap_limit = merged.memory_swap_limit;
  return out;
}

// What the OCI runtime is given: crun 1.8 writes a quota of -1 as 2^64-1 on cgroup v1, and runc leaves hugepages
// out. Both are written afterwards.
Result<std::string> ForRuntime(oci::Resources wanted) {
  if (wanted.cpu.quota == -1) wanted.cpu.quota.reset();
  wanted.hugepage_limits.clear();
  return oci::ResourcesToJson(wanted);
}

Result<std::string> UpdatedSpec(const std::string& spec_json, const oci::Resources& resources,
                                std::optional<int64_t> oom_score_adj) {
  oci::Spec spec = TRY(oci::ParseSpec(spec_json), "stored spec");
  oci::Resources updated = resources;
  updated.devices = spec.linux.resources.devices;
  updated.pids_limit = spec.linux.resources.pids_limit;
  spec.linux.resources = std::move(updated);
  if (oom_score_adj) spec.process.oom_score_adj = oom_score_adj;
  return oci::ToJson(spec);
}

}  // namespace

Result<> Engine::Impl::UpdateContainer(const Call& call, const std::string& id,
                                       const LinuxResources& asked) {
  ContainerPtr container = TRY(NeedContainer(id), "update container");
  const std::string who = StrCat("update container ", container->id);
  TRY(ValidateResources(asked, "resources"), who);
  TRY(EnterUpdate(call, *container), who);
  Result<> updated = UpdateEntered(call, *container, asked);
  container->state.Lock()->updating = false;
  container->state.NotifyAll();
  if (!updated) return IfEnded(container->id, std::move(updated.error()).Wrap(who));
  return Ok();
}

Result<> Engine::Impl::EnterUpdate(const Call& call, ContainerObject& container) {
  auto state = container.state.Lock();
  TRY(Await(call, d.clock, container.state, state, [](const auto& s) {
    return s.gone || (!s.updating && s.op != Op::kCreating && s.op != Op::kStarting);
  }));
  if (state->gone) return Error(Code::kNotFound, "it was removed");
  if (state->op == Op::kRemoving) return Error(Code::kFailedPrecondition, "it is being removed");
  if (state->record.phase != Phase::kCreated && state->record.phase != Phase::kRunning) {
    return Error(Code::kFailedPrecondition, "it is neither created nor running");
  }
  if (IsNeverMade(state->record)) {
    return Error(Code::kFailedPrecondition, StrCat("it has no process: ", state->record.message));
  }
  state->updating = true;
  return Ok();
}

Result<> Engine::Impl::UpdateEntered(const Call& call, ContainerObject& container,
                                     const LinuxResources& asked) {
  const ContainerRecord record = container.state.Lock()->record;
  const runtime::HostFacts& facts = d.host.Facts();
  const LinuxResources merged = MergeResources(InForce(record), asked);
  oci::Resources whole =
      TRY(oci::BuildResources(PlanResourcesOf(merged, facts), facts.cgroup_v2), "resources");
  oci::Resources wanted =
      TRY(oci::BuildResources(PlanResourcesOf(ToApply(asked, merged), facts), facts.cgroup_v2),
          "resources");
  std::optional<int64_t> score;
  if (asked.oom_score_adj != 0) {
    score = std::max<int64_t>(asked.oom_score_adj, facts.oom_score_adj_floor);
  }
  std::string spec = TRY(UpdatedSpec(record.spec_json, whole, score));
  Rollback undo;
  auto apply = [&]() -> Result<> {
    if (wanted != oci::Resources()) TRY(ApplyLimits(call, record, wanted, undo));
    if (score) TRY(ApplyOomScore(record, asked, undo));
    {
      auto state = container.state.Lock();
      state->record.resources = merged;
      state->record.spec_json = std::move(spec);
    }
    undo.Add("record", [&]() -> Result<> {
      auto state = container.state.Lock();
      state->record.resources = record.resources;
      state->record.spec_json = record.spec_json;
      return Ok();
    });
    return FAIL_STEP("container.updated", Persist(container));
  };
  Result<> applied = apply();
  if (applied) {
    undo.Commit();
    return applied;
  }
  for (const Rollback::Failure& failure : undo.Run()) {
    LogError(StrCat("update container ", record.id, ": put back ", failure.step, ": ",
                    failure.error.message()));
  }
  return applied;
}

Result<> Engine::Impl::ApplyLimits(const Call& call, const ContainerRecord& record,
                                   const oci::Resources& wanted, Rollback& undo) {
  const bool v2 = d.host.Facts().cgroup_v2;
  const std::string group = CgroupOf(record.cgroups_path, config.systemd_cgroup);
  const std::vector<std::string> names = oci::LimitFiles(wanted, v2);
  Result<oci::CgroupFiles> before = d.host.ReadCgroup(group, names);
  // No such group on the host: the OCI runtime keeps the container elsewhere (a virtual machine), and is alone
  // with its limits.
  const bool ours = before.has_value();
  if (!ours && before.error().code() != Code::kNotFound) return std::move(before.error());
  if (ours) {
    oci::Resources old = TRY(oci::ActualLimits(wanted, *before, v2));
    undo.Add("limits",
             [this, &record, old, files = *before] { return RestoreLimits(record, old, files); });
  }
  std::string json = TRY(ForRuntime(wanted), "resources");
  if (json != "{}") {
    TRY(FAIL_STEP("container.update-limits",
                  d.runtime.Update(record.sandbox_id, record.id, json, call.cancelled)));
  }
  if (!ours) return Ok();
  oci::CgroupFiles after = TRY(d.host.ReadCgroup(group, names));
  oci::CgroupFiles missing = TRY(oci::MissingLimits(wanted, after, v2));
  if (missing.empty()) return Ok();
  return d.host.WriteCgroup(group, missing);
}

// With the systemd driver the unit's properties have to go back too, or a daemon-reload brings the failed
// update again.
Result<> Engine::Impl::RestoreLimits(const ContainerRecord& record, const oci::Resources& old,
                                     const oci::CgroupFiles& files) {
  if (config.systemd_cgroup) {
    std::string json = TRY(ForRuntime(old));
    if (Result<> told = d.runtime.Update(record.sandbox_id, record.id, json); !told) {
      LogWarn(StrCat("container ", record.id, ": put back limits: ", told.error().message()));
    }
  }
  const std::string group = CgroupOf(record.cgroups_path, config.systemd_cgroup);
  std::vector<std::string> names;
  for (const auto& [file, text] : files) names.push_back(file);
  oci::CgroupFiles now = TRY(d.host.ReadCgroup(group, names));
  oci::CgroupFiles changed;
  for (const auto& [file, text] : files) {
    if (now[file] != text) changed.emplace(file, text);
  }
  return changed.empty() ? Ok() : d.host.WriteCgroup(group, changed);
}

Result<> Engine::Impl::ApplyOomScore(const ContainerRecord& record, const LinuxResources& asked,
                                     Rollback& undo) {
  const int64_t floor = d.host.Facts().oom_score_adj_floor;
  const std::string group = CgroupOf(record.cgroups_path, config.systemd_cgroup);
  const int64_t old = std::max(InForce(record).oom_score_adj, floor);
  undo.Add("oom_score_adj", [this, group, old] { return d.host.SetOomScoreAdj(group, old); });
  return FAIL_STEP("container.update-score",
                   d.host.SetOomScoreAdj(group, std::max(asked.oom_score_adj, floor)));
}

ContainerStatus Engine::Impl::WithActualResources(const ContainerRecord& record,
                                                  ContainerStatus status) {
  bool has_group =
      record.loaded && (record.phase == Phase::kCreated || record.phase == Phase::kRunning);
  if (!has_group || record.cgroups_path.empty()) return status;
  const runtime::HostFacts& facts = d.host.Facts();
  auto actual = [&]() -> Result<LinuxResources> {
    LinuxResources known = InForce(record);
    oci::Resources limits =
        TRY(oci::BuildResources(PlanResourcesOf(known, facts), facts.cgroup_v2));
    oci::CgroupFiles files =
        TRY(d.host.ReadCgroup(CgroupOf(record.cgroups_path, config.systemd_cgroup),
                              oci::LimitFiles(limits, facts.cgroup_v2)));
    return WithLimits(std::move(known), TRY(oci::ActualLimits(limits, files, facts.cgroup_v2)));
  };
  Result<LinuxResources> found = actual();
  if (found) {
    status.resources = std::move(*found);
  } else if (found.error().code() != Code::kNotFound) {
    // Its last process may just have ended; what was asked for is the best answer then.
    LogDebug(StrCat("container ", record.id, ": limits: ", found.error().message()));
  }
  return status;
}

Result<> Engine::Impl::UpdateSandbox(const std::string& id,
                                     const std::optional<LinuxResources>& overhead,
                                     const std::optional<LinuxResources>& resources) {
  SandboxPtr sandbox = TRY(NeedSandbox(id), "update pod sandbox");
  const std::string who = StrCat("update pod sandbox ", sandbox->id);
  if (overhead) TRY(ValidateResources(*overhead, "overhead"), who);
  if (resources) TRY(ValidateResources(*resources, "resources"), who);
  SandboxRecord old;
  {
    auto state = sandbox->state.Lock();
    if (state->gone || state->record.phase != SandboxPhase::kReady) {
      return Error(Code::kFailedPrecondition, StrCat(who, ": it is not ready"));
    }
    old = state->record;
    if (overhead) state->record.overhead = overhead;
    if (resources) state->record.resources = resources;
  }
  Result<> kept = Persist(*sandbox);
  if (kept) return kept;
  auto state = sandbox->state.Lock();
  state->record.overhead = old.overhead;
  state->record.resources = old.resources;
  return TRY(std::move(kept), who), Ok();
}

}  // namespace berth::pod
