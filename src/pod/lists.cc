// SPDX-License-Identifier: Apache-2.0
// Lists of pods and containers, as values and as encoded items.
#include "pod/engine_impl.h"
#include "pod/lookup.h"

namespace berth::pod {

namespace {

// Calls `visit` with the locked state of each pod that the filter lets through, and with the pod.
template <class Visit>
void ForEach(Guarded<Table>& table, const SandboxFilter& filter, const Visit& visit) {
  std::vector<SandboxPtr> candidates = Candidates(table.Lock()->sandboxes, filter.id);
  for (const SandboxPtr& sandbox : candidates) {
    auto state = sandbox->state.Lock();
    if (Visible(*state) && Matches(filter, state->record)) visit(*state, sandbox);
  }
}

template <class Visit>
void ForEach(Guarded<Table>& table, const ContainerFilter& filter, const Visit& visit) {
  std::vector<ContainerPtr> candidates;
  std::string sandbox_id;
  {
    auto locked = table.Lock();
    candidates = Candidates(locked->containers, filter.id);
    if (!filter.sandbox_id.empty()) {
      Result<SandboxPtr> pod = Lookup(locked->sandboxes, filter.sandbox_id, "filter");
      // The pod's record may be gone while a container's is not: then only its whole id finds it.
      sandbox_id = pod && *pod ? (*pod)->id : filter.sandbox_id;
    }
  }
  for (const ContainerPtr& container : candidates) {
    if (!sandbox_id.empty() && container->sandbox_id != sandbox_id) continue;
    auto state = container->state.Lock();
    if (Visible(*state) && Matches(filter, state->record)) visit(*state, container);
  }
}

}  // namespace

std::vector<SandboxPtr> Engine::Impl::Select(const SandboxFilter& filter) {
  std::vector<SandboxPtr> out;
  ForEach(table, filter, [&](auto&, const SandboxPtr& sandbox) { out.push_back(sandbox); });
  return out;
}

std::vector<ContainerPtr> Engine::Impl::Select(const ContainerFilter& filter) {
  std::vector<ContainerPtr> out;
  ForEach(table, filter, [&](auto&, const ContainerPtr& container) { out.push_back(container); });
  return out;
}

std::vector<SandboxStatus> Engine::ListPodSandbox(const SandboxFilter& filter) {
  std::vector<SandboxStatus> out;
  ForEach(impl_->table, filter,
          [&](auto& state, const auto&) { out.push_back(StatusOf(state.record)); });
  return out;
}

std::vector<ContainerStatus> Engine::ListContainers(const ContainerFilter& filter) {
  std::vector<ContainerStatus> out;
  ForEach(impl_->table, filter,
          [&](auto& state, const auto&) { out.push_back(StatusOf(state.record)); });
  return out;
}

std::string Engine::EncodedPodSandboxes(const SandboxFilter& filter,
                                        void (*encode)(const SandboxStatus&, std::string*)) {
  std::string out;
  ForEach(impl_->table, filter, [&](auto& state, const auto&) {
    state.listed.AppendTo(&out, StateOf(state.record), encode,
                          [&] { return StatusOf(state.record); });
  });
  return out;
}

std::string Engine::EncodedContainers(const ContainerFilter& filter,
                                      void (*encode)(const ContainerStatus&, std::string*)) {
  std::string out;
  ForEach(impl_->table, filter, [&](auto& state, const auto&) {
    state.listed.AppendTo(&out, StateOf(state.record), encode,
                          [&] { return StatusOf(state.record); });
  });
  return out;
}

}  // namespace berth::pod
