// SPDX-License-Identifier: Apache-2.0
// Finding and listing pods and containers.
#include <algorithm>

#include "base/strings.h"
#include "pod/engine_impl.h"

namespace berth::pod {

namespace {

bool Visible(const SandboxObject::State& state) {
  return !state.gone && state.record.phase != SandboxPhase::kIntent;
}
bool Visible(const ContainerObject::State& state) {
  return !state.gone && state.record.phase != ContainerPhase::kIntent;
}

// The object of that id, or the only visible one whose id begins so. Called with the table locked;
// the object's lock comes second in the order.
template <class Ptr>
Result<Ptr> Lookup(const std::map<std::string, Ptr>& objects, const std::string& id,
                   std::string_view kind) {
  if (id.empty()) return Error(Code::kInvalidArgument, StrCat(kind, " id is empty"));
  Ptr found;
  for (auto it = objects.lower_bound(id); it != objects.end() && it->first.starts_with(id); ++it) {
    if (!Visible(*it->second->state.Lock())) continue;
    if (it->first == id) return it->second;
    if (found) {
      return Error(Code::kInvalidArgument,
                   StrCat(kind, " id ", Quote(id), " is the beginning of more than one"));
    }
    found = it->second;
  }
  return found;
}

// Rule 3: what a filter's id stands for; nothing for an unknown or ambiguous one.
template <class Ptr>
std::vector<Ptr> Candidates(const std::map<std::string, Ptr>& objects, const std::string& id) {
  std::vector<Ptr> out;
  if (id.empty()) {
    for (const auto& [key, object] : objects) out.push_back(object);
    return out;
  }
  Result<Ptr> one = Lookup(objects, id, "filter");
  if (one && *one) out.push_back(*one);
  return out;
}

}  // namespace

Result<SandboxPtr> Engine::Impl::FindSandbox(const std::string& id) {
  auto locked = table.Lock();
  return Lookup(locked->sandboxes, id, "pod sandbox");
}

Result<ContainerPtr> Engine::Impl::FindContainer(const std::string& id) {
  auto locked = table.Lock();
  return Lookup(locked->containers, id, "container");
}

Result<SandboxPtr> Engine::Impl::NeedSandbox(const std::string& id) {
  SandboxPtr sandbox = TRY(FindSandbox(id));
  if (!sandbox) return Error(Code::kNotFound, StrCat("pod sandbox ", Quote(id), " not found"));
  return sandbox;
}

Result<ContainerPtr> Engine::Impl::NeedContainer(const std::string& id) {
  ContainerPtr container = TRY(FindContainer(id));
  if (!container) return Error(Code::kNotFound, StrCat("container ", Quote(id), " not found"));
  return container;
}

std::vector<ContainerPtr> Engine::Impl::ContainersOf(const std::string& sandbox_id) {
  std::vector<ContainerPtr> out;
  auto locked = table.Lock();
  for (const auto& [id, container] : locked->containers) {
    if (container->sandbox_id == sandbox_id) out.push_back(container);
  }
  return out;
}

std::vector<ContainerStatus> Engine::Impl::StatusesOf(const std::string& sandbox_id) {
  std::vector<ContainerStatus> out;
  for (const ContainerPtr& container : ContainersOf(sandbox_id)) {
    auto state = container->state.Lock();
    if (Visible(*state)) out.push_back(StatusOf(state->record));
  }
  return out;
}

void Engine::Impl::Forget(const SandboxPtr& sandbox) {
  {
    auto locked = table.Lock();
    locked->sandboxes.erase(sandbox->id);
    std::erase_if(locked->sandbox_names,
                  [&](const auto& name) { return name.second == sandbox->id; });
  }
  sandbox->state.Lock()->gone = true;
  sandbox->state.NotifyAll();
}

void Engine::Impl::Forget(const ContainerPtr& container) {
  {
    auto locked = table.Lock();
    locked->containers.erase(container->id);
    std::erase_if(locked->container_names,
                  [&](const auto& name) { return name.second == container->id; });
  }
  container->state.Lock()->gone = true;
  container->state.NotifyAll();
}

Result<SandboxStatus> Engine::PodSandboxStatus(const std::string& id) {
  SandboxPtr sandbox = TRY(impl_->NeedSandbox(id));
  return StatusOf(sandbox->state.Lock()->record);
}

Result<PodSnapshot> Engine::Snapshot(const std::string& id) {
  PodSnapshot snapshot;
  // Not older than what has been reported as an event, even if the clock was set back.
  snapshot.taken_at = std::max(impl_->d.clock.WallNanos(), impl_->last_event.load());
  SandboxPtr sandbox = TRY(impl_->NeedSandbox(id));
  snapshot.sandbox = StatusOf(sandbox->state.Lock()->record);
  snapshot.containers = impl_->StatusesOf(sandbox->id);
  return snapshot;
}

Result<ContainerStatus> Engine::GetContainerStatus(const std::string& id) {
  ContainerPtr container = TRY(impl_->NeedContainer(id));
  return StatusOf(container->state.Lock()->record);
}

std::vector<SandboxStatus> Engine::ListPodSandbox(const SandboxFilter& filter) {
  std::vector<SandboxPtr> candidates = Candidates(impl_->table.Lock()->sandboxes, filter.id);
  std::vector<SandboxStatus> out;
  for (const SandboxPtr& sandbox : candidates) {
    auto state = sandbox->state.Lock();
    if (!Visible(*state)) continue;
    SandboxStatus status = StatusOf(state->record);
    if (Matches(filter, status)) out.push_back(std::move(status));
  }
  return out;
}

std::vector<ContainerStatus> Engine::ListContainers(const ContainerFilter& filter) {
  std::vector<ContainerPtr> candidates;
  std::string sandbox_id;
  {
    auto locked = impl_->table.Lock();
    candidates = Candidates(locked->containers, filter.id);
    if (!filter.sandbox_id.empty()) {
      Result<SandboxPtr> pod = Lookup(locked->sandboxes, filter.sandbox_id, "filter");
      // The pod's record may be gone while a container's is not: then only its whole id finds it.
      sandbox_id = pod && *pod ? (*pod)->id : filter.sandbox_id;
    }
  }
  std::vector<ContainerStatus> out;
  for (const ContainerPtr& container : candidates) {
    if (!sandbox_id.empty() && container->sandbox_id != sandbox_id) continue;
    auto state = container->state.Lock();
    if (!Visible(*state)) continue;
    ContainerStatus status = StatusOf(state->record);
    if (Matches(filter, status)) out.push_back(std::move(status));
  }
  return out;
}

}  // namespace berth::pod
