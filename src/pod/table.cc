// SPDX-License-Identifier: Apache-2.0
// Finding pods and containers, and looking at one.
#include <algorithm>

#include "base/strings.h"
#include "pod/engine_impl.h"
#include "pod/lookup.h"

namespace berth::pod {

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
  DropMeter(*sandbox);
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
  DropMeter(*container);
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
  ContainerRecord record = container->state.Lock()->record;
  return impl_->WithActualResources(record, StatusOf(record));
}

bool Engine::IsBeingMade(const std::string& id) {
  ContainerPtr container;
  SandboxPtr sandbox;
  {
    auto locked = impl_->table.Lock();
    if (auto found = locked->containers.find(id); found != locked->containers.end())
      container = found->second;
    if (auto found = locked->sandboxes.find(id); found != locked->sandboxes.end())
      sandbox = found->second;
  }
  return (container && container->state.Lock()->op == ContainerObject::Op::kCreating) ||
         (sandbox && sandbox->state.Lock()->running);
}

}  // namespace berth::pod
