// SPDX-License-Identifier: Apache-2.0
// Statistics of containers and pods, read when they are asked for. Lists show what runs; a single container or pod
// that does not is told without figures. No engine lock is held while anything is read.
//
// Who holds what: a meter (the open files of one control group) belongs to its ContainerObject or SandboxObject
// from the first question on, until the exit, or the pod's stop. A reading in flight keeps it alive until it ends.
#include "pod/stats.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "pod/cgroup_path.h"
#include "pod/engine_impl.h"
#include "pod/lookup.h"

namespace berth::pod {

namespace {

using Facts = ContainerFacts;

ContainerStats StatsWithoutFigures(const Facts& facts) {
  ContainerStats stats;
  stats.id = facts.id;
  stats.metadata = facts.metadata;
  stats.labels = facts.labels;
  stats.annotations = facts.annotations;
  return stats;
}

// No value: it has ended, or ends right now.
Result<std::optional<runtime::Usage>> ReadMeter(runtime::Meter* meter, os::CgroupDetail detail) {
  if (meter == nullptr) return std::optional<runtime::Usage>();
  auto usage = meter->Read(detail);
  if (!usage && usage.error().code() == Code::kNotFound) return std::optional<runtime::Usage>();
  if (!usage) return std::move(usage.error());
  return std::optional<runtime::Usage>(std::move(*usage));
}

}  // namespace

std::optional<runtime::Usage> SumUsage(const std::vector<ContainerStats>& containers) {
  std::optional<runtime::Usage> sum;
  bool rates = true;
  for (const ContainerStats& container : containers) {
    if (!container.usage) continue;
    const os::CgroupUsage& group = container.usage->group;
    if (!sum) sum.emplace().nano_cores = 0;
    sum->timestamp = std::max(sum->timestamp, container.usage->timestamp);
    rates = rates && container.usage->nano_cores;
    *sum->nano_cores += container.usage->nano_cores.value_or(0);
    if (group.tasks) sum->group.tasks = sum->group.tasks.value_or(0) + *group.tasks;
    if (group.cpu) {
      if (!sum->group.cpu) sum->group.cpu.emplace();
      sum->group.cpu->usage_ns += group.cpu->usage_ns;
    }
    if (!group.memory) continue;
    if (!sum->group.memory) sum->group.memory.emplace();
    os::CgroupMemory& memory = *sum->group.memory;
    memory.usage += group.memory->usage;
    memory.working_set += group.memory->working_set;
    memory.rss += group.memory->rss;
    memory.page_faults += group.memory->page_faults;
    memory.major_page_faults += group.memory->major_page_faults;
  }
  if (sum && !rates) sum->nano_cores.reset();
  return sum;
}

std::optional<Facts> Engine::Impl::FactsOf(ContainerObject& container) {
  Facts facts;
  std::string path;
  {
    auto state = container.state.Lock();
    const ContainerRecord& record = state->record;
    if (!Visible(*state)) return std::nullopt;
    facts.id = record.id;
    facts.sandbox_id = record.sandbox_id;
    facts.metadata = record.config.metadata;
    facts.labels = record.config.labels;
    facts.annotations = record.config.annotations;
    facts.image = record.image_name;
    facts.resources = record.config.resources;
    facts.started_at = record.started_at;
    facts.running = record.loaded && record.phase == ContainerPhase::kRunning;
    facts.cgroup = CgroupOf(record.cgroups_path, config.systemd_cgroup);
    facts.meter = state->meter;
  }
  if (!facts.running || facts.meter) return facts;
  std::shared_ptr<runtime::Meter> made = d.stats.MakeMeter(facts.cgroup);
  auto state = container.state.Lock();
  if (state->record.phase != ContainerPhase::kRunning) {
    facts.running = false;
    return facts;
  }
  if (!state->meter) state->meter = std::move(made);
  facts.meter = state->meter;
  return facts;
}

std::vector<Facts> Engine::Impl::RunningContainers(ContainerFilter filter) {
  filter.state = ContainerState::kRunning;
  std::vector<Facts> out;
  for (const ContainerPtr& container : Select(filter)) {
    std::optional<Facts> facts = FactsOf(*container);
    if (facts && facts->running) out.push_back(std::move(*facts));
  }
  return out;
}

void Engine::Impl::DropMeter(ContainerObject& container) {
  // Its files are closed by the last owner, outside the lock.
  const std::shared_ptr<runtime::Meter> meter = std::move(container.state.Lock()->meter);
}

void Engine::Impl::DropMeter(SandboxObject& sandbox) {
  const std::shared_ptr<runtime::Meter> meter = std::move(sandbox.state.Lock()->meter);
  d.stats.Forget(sandbox.id);
}

Engine::Impl::Files Engine::Impl::ReadFiles(const std::vector<Facts>& containers) {
  std::vector<std::string> ids;
  ids.reserve(containers.size());
  for (const Facts& facts : containers) ids.push_back(facts.id);
  auto files = d.images.RootfsUsages(ids);
  if (files) return std::move(*files);
  LogWarn(StrCat("statistics: containers' files: ", files.error().message()));
  return {};
}

// One that cannot be read is left out and does not cost the others.
std::vector<ContainerStats> Engine::Impl::ReadContainers(const std::vector<Facts>& containers,
                                                         const Files& files) {
  std::vector<ContainerStats> out;
  for (const Facts& facts : containers) {
    auto usage = ReadMeter(facts.meter.get(), os::CgroupDetail::kUsage);
    if (!usage)
      LogWarn(StrCat("statistics of container ", facts.id, ": ", usage.error().message()));
    if (!usage || !*usage) continue;
    ContainerStats stats = StatsWithoutFigures(facts);
    stats.usage = std::move(*usage);
    if (const auto at = files.find(facts.id); at != files.end()) stats.files = at->second;
    out.push_back(std::move(stats));
  }
  return out;
}

Result<ContainerStats> Engine::GetContainerStats(const std::string& id) {
  ContainerPtr container = TRY(impl_->NeedContainer(id), "statistics");
  std::optional<Facts> facts = impl_->FactsOf(*container);
  if (!facts)
    return Error(Code::kNotFound, StrCat("statistics: container ", Quote(id), " not found"));
  ContainerStats stats = StatsWithoutFigures(*facts);
  const std::string who = StrCat("statistics of container ", facts->id);
  stats.usage = TRY(ReadMeter(facts->meter.get(), os::CgroupDetail::kUsage), who);
  auto files = TRY(impl_->d.images.RootfsUsages({facts->id}), who);
  if (const auto at = files.find(facts->id); at != files.end()) stats.files = at->second;
  return stats;
}

std::vector<ContainerStats> Engine::ListContainerStats(const ContainerFilter& filter) {
  const std::vector<Facts> running = impl_->RunningContainers(filter);
  return impl_->ReadContainers(running, impl_->ReadFiles(running));
}

}  // namespace berth::pod
