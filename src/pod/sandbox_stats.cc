// SPDX-License-Identifier: Apache-2.0
// Statistics of pods: their own control groups, their networks and their containers; and the metrics of both.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "pod/cgroup_path.h"
#include "pod/engine_impl.h"
#include "pod/lookup.h"
#include "pod/metrics.h"
#include "pod/stats.h"
#include "pod/status.h"

namespace berth::pod {

namespace {

using Container = ContainerFacts;
using Sandbox = SandboxFacts;

std::map<std::string, std::vector<Container>> BySandbox(std::vector<Container> containers) {
  std::map<std::string, std::vector<Container>> out;
  for (Container& container : containers) out[container.sandbox_id].push_back(std::move(container));
  return out;
}

// A group that belongs to no pod alone would count its neighbours: that of several pods, the root's, a slice of
// the system's.
bool HasOwnGroup(const SandboxRecord& record,
                 const std::multimap<std::string, std::string>& users) {
  if (record.owns_cgroup) return true;
  const std::string& path = record.cgroup_path;
  if (path.empty() || path == "/" || path == "system.slice") return false;
  const auto [begin, end] = users.equal_range(path);
  return std::none_of(begin, end, [&](const auto& user) { return user.second != record.id; });
}

}  // namespace

Engine::Impl::GroupUsers Engine::Impl::UsersOfGroups() {
  SandboxFilter filter;
  filter.state = SandboxState::kReady;
  GroupUsers users;
  for (const SandboxPtr& sandbox : Select(filter))
    users.emplace(sandbox->state.Lock()->record.cgroup_path, sandbox->id);
  return users;
}

std::optional<Sandbox> Engine::Impl::FactsOf(SandboxObject& sandbox, const GroupUsers& users) {
  Sandbox facts;
  SandboxRecord record;
  {
    auto state = sandbox.state.Lock();
    if (!Visible(*state)) return std::nullopt;
    record = state->record;
    facts.meter = state->meter;
  }
  facts.id = record.id;
  facts.metadata = record.config.metadata;
  facts.labels = record.config.labels;
  facts.annotations = record.config.annotations;
  facts.ready = record.loaded && record.phase == SandboxPhase::kReady;
  facts.host_network = UsesHostNetwork(record.config);
  if (!facts.ready) return facts;
  facts.cgroup = CgroupOf(record.cgroup_path, config.systemd_cgroup);
  facts.own_group = HasOwnGroup(record, users);
  if (!facts.own_group || facts.meter) return facts;
  std::shared_ptr<runtime::Meter> made = d.stats.MakeMeter(facts.cgroup);
  auto state = sandbox.state.Lock();
  facts.ready = state->record.phase == SandboxPhase::kReady;
  if (!facts.ready) return facts;
  if (!state->meter) state->meter = std::move(made);
  facts.meter = state->meter;
  return facts;
}

std::vector<Sandbox> Engine::Impl::ReadySandboxes(SandboxFilter filter) {
  filter.state = SandboxState::kReady;
  const GroupUsers users = UsersOfGroups();
  std::vector<Sandbox> out;
  for (const SandboxPtr& sandbox : Select(filter)) {
    std::optional<Sandbox> facts = FactsOf(*sandbox, users);
    if (facts && facts->ready) out.push_back(std::move(*facts));
  }
  return out;
}

// Interfaces that cannot be read are left out of every pod; the rest is told all the same.
std::map<std::string, runtime::NetworkUsage> Engine::Impl::ReadNetworks(
    const std::vector<Sandbox>& sandboxes) {
  std::vector<runtime::PodNetNs> wanted;
  for (const Sandbox& sandbox : sandboxes)
    if (sandbox.ready && !sandbox.host_network)
      wanted.push_back({sandbox.id, d.network.NsPath(sandbox.id)});
  auto networks = d.stats.ReadNetworks(wanted);
  if (networks) return std::move(*networks);
  LogWarn(StrCat("statistics: networks: ", networks.error().message()));
  return {};
}

std::vector<SandboxStats> Engine::Impl::ReadSandboxes(const std::vector<Sandbox>& sandboxes,
                                                      std::vector<Container> running) {
  std::map<std::string, runtime::NetworkUsage> networks = ReadNetworks(sandboxes);
  const Files files = ReadFiles(running);
  auto containers = BySandbox(std::move(running));
  std::vector<SandboxStats> out;
  for (const Sandbox& sandbox : sandboxes) {
    SandboxStats stats;
    stats.id = sandbox.id;
    stats.metadata = sandbox.metadata;
    stats.labels = sandbox.labels;
    stats.annotations = sandbox.annotations;
    if (sandbox.ready) {
      stats.containers = ReadContainers(containers[sandbox.id], files);
      if (const auto at = networks.find(sandbox.id); at != networks.end())
        stats.network = at->second;
      if (sandbox.own_group && sandbox.meter) {
        auto usage = sandbox.meter->Read(os::CgroupDetail::kUsage);
        if (usage) stats.usage = std::move(*usage);
        if (!usage && usage.error().code() != Code::kNotFound)
          LogWarn(StrCat("statistics of pod ", sandbox.id, ": ", usage.error().message()));
      }
      // Also of a pod whose group is made by its first container.
      if (!stats.usage) stats.usage = SumUsage(stats.containers);
    }
    out.push_back(std::move(stats));
  }
  return out;
}

Result<SandboxStats> Engine::PodSandboxStats(const std::string& id) {
  SandboxPtr sandbox = TRY(impl_->NeedSandbox(id), "statistics");
  std::optional<Sandbox> facts = impl_->FactsOf(*sandbox, impl_->UsersOfGroups());
  if (!facts)
    return Error(Code::kNotFound, StrCat("statistics: pod sandbox ", Quote(id), " not found"));
  ContainerFilter filter;
  filter.sandbox_id = facts->id;
  std::vector<Sandbox> one;
  one.push_back(std::move(*facts));
  return std::move(impl_->ReadSandboxes(one, impl_->RunningContainers(filter)).front());
}

std::vector<SandboxStats> Engine::ListPodSandboxStats(const SandboxFilter& filter) {
  std::vector<Sandbox> sandboxes = impl_->ReadySandboxes(filter);
  // Nothing is read of the containers of other pods.
  std::set<std::string> wanted;
  for (const Sandbox& sandbox : sandboxes) wanted.insert(sandbox.id);
  std::vector<Container> running = impl_->RunningContainers({});
  std::erase_if(running, [&](const Container& c) { return !wanted.contains(c.sandbox_id); });
  return impl_->ReadSandboxes(sandboxes, std::move(running));
}

// No value: it ends right now, or cannot be read.
std::optional<MetricSet> Engine::Impl::MetricsOf(const Sandbox& sandbox, const Container& container,
                                                 const StoreMetrics& store) {
  if (!container.meter) return std::nullopt;
  auto usage = container.meter->Read(os::CgroupDetail::kAll);
  if (!usage) {
    if (usage.error().code() != Code::kNotFound)
      LogWarn(StrCat("metrics of container ", container.id, ": ", usage.error().message()));
    return std::nullopt;
  }
  ContainerMetricsInput in;
  in.started_at = container.started_at;
  in.resources = container.resources;
  in.store = store.capacity;
  in.store_device = store.device;
  if (const auto at = store.files.find(container.id); at != store.files.end())
    in.files = at->second;
  auto processes = d.stats.CountProcesses(usage->group.pids);
  if (!processes)
    LogWarn(StrCat("metrics of container ", container.id, ": ", processes.error().message()));
  else
    in.processes = *processes;
  for (const os::DeviceIo& io : usage->group.io)
    in.io.push_back({io, d.stats.DeviceName(io.major, io.minor)});
  in.usage = std::move(*usage);
  MetricSet set;
  set.id = container.id;
  set.base_values = {container.cgroup,    container.id,          container.image,
                     sandbox.metadata.ns, sandbox.metadata.name, container.metadata.name};
  set.metrics = MakeContainerMetrics(in);
  return set;
}

StoreMetrics Engine::Impl::ReadStore(const std::vector<Container>& containers) {
  StoreMetrics store;
  store.files = ReadFiles(containers);
  auto usage = d.images.FsInfo();
  if (!usage) {
    LogWarn(StrCat("metrics: image store: ", usage.error().message()));
    return store;
  }
  store.capacity = usage->capacity;
  store.device = d.stats.DeviceName(usage->capacity.device_major, usage->capacity.device_minor);
  return store;
}

std::vector<SandboxMetrics> Engine::ListPodSandboxMetrics() {
  std::vector<Sandbox> sandboxes = impl_->ReadySandboxes({});
  std::map<std::string, runtime::NetworkUsage> networks = impl_->ReadNetworks(sandboxes);
  std::vector<Container> running = impl_->RunningContainers({});
  const StoreMetrics store = impl_->ReadStore(running);
  auto containers = BySandbox(std::move(running));
  std::vector<SandboxMetrics> out;
  for (const Sandbox& sandbox : sandboxes) {
    SandboxMetrics metrics;
    metrics.pod.id = sandbox.id;
    // As cAdvisor has it for containerd: the pod's own series have no container and no image.
    metrics.pod.base_values = {sandbox.cgroup,        sandbox.id, "", sandbox.metadata.ns,
                               sandbox.metadata.name, ""};
    if (const auto at = networks.find(sandbox.id); at != networks.end())
      metrics.pod.metrics = MakeNetworkMetrics(at->second);
    for (const Container& container : containers[sandbox.id])
      if (auto set = impl_->MetricsOf(sandbox, container, store))
        metrics.containers.push_back(std::move(*set));
    out.push_back(std::move(metrics));
  }
  return out;
}

}  // namespace berth::pod
