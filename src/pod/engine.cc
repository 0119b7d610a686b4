// SPDX-License-Identifier: Apache-2.0
#include "pod/engine.h"

#include "pod/engine_impl.h"

namespace berth::pod {

Engine::Impl::Impl(Dependencies dependencies, EngineConfig engine_config)
    : d(dependencies), config(std::move(engine_config)) {
  // The sink holds the queue, not the engine: the runtime outlives us and may still have something
  // to say.
  std::shared_ptr<EventQueue> sink_queue = queue;
  d.runtime.SetEventSink(
      {.exited = [sink_queue](runtime::ContainerExited e) { sink_queue->Push(std::move(e)); },
       .lost = [sink_queue](runtime::MonitorLost e) { sink_queue->Push(std::move(e)); },
       .answered = [sink_queue](runtime::MonitorAnswered e) { sink_queue->Push(std::move(e)); }});
}

Engine::Impl::~Impl() {
  ending = true;
  std::vector<ContainerPtr> all;
  {
    auto locked = table.Lock();
    for (const auto& [id, container] : locked->containers) all.push_back(container);
  }
  for (const ContainerPtr& container : all) container->state.NotifyAll();
  workers.Join();
  queue->Close();
  if (event_thread.joinable()) event_thread.join();
}

Engine::Engine(Dependencies dependencies, EngineConfig config)
    : impl_(std::make_unique<Impl>(dependencies, std::move(config))) {}
Engine::~Engine() = default;

Result<> Engine::Recover() { return impl_->Recover(); }

void Engine::SetEventListener(std::function<void(const LifecycleEvent&)> listener) {
  *impl_->listener.Lock() = std::move(listener);
}

Result<std::string> Engine::RunPodSandbox(const Call& call, const SandboxConfig& config,
                                          const std::string& handler) {
  return impl_->RunPodSandbox(call, config, handler);
}
Result<> Engine::StopPodSandbox(const Call& call, const std::string& id) {
  return impl_->StopPodSandbox(call, id);
}
Result<> Engine::RemovePodSandbox(const Call& call, const std::string& id) {
  return impl_->RemovePodSandbox(call, id);
}
Result<std::string> Engine::CreateContainer(const Call& call, const std::string& sandbox_id,
                                            const ContainerConfig& config) {
  return impl_->CreateContainer(call, sandbox_id, config);
}
Result<> Engine::StartContainer(const Call& call, const std::string& id) {
  return impl_->StartContainer(call, id);
}
Result<> Engine::StopContainer(const Call& call, const std::string& id,
                               std::chrono::seconds grace) {
  return impl_->StopContainer(call, id, grace);
}
Result<> Engine::RemoveContainer(const Call& call, const std::string& id) {
  return impl_->RemoveContainer(call, id);
}
Result<runtime::ExecOutput> Engine::ExecSync(const Call& call, const std::string& id,
                                             const std::vector<std::string>& command,
                                             std::chrono::nanoseconds timeout) {
  return impl_->ExecSync(call, id, command, timeout);
}
Result<> Engine::UpdateContainerResources(const Call& call, const std::string& id,
                                          const LinuxResources& resources) {
  return impl_->UpdateContainer(call, id, resources);
}
Result<> Engine::UpdatePodSandboxResources(const std::string& id,
                                           const std::optional<LinuxResources>& overhead,
                                           const std::optional<LinuxResources>& resources) {
  return impl_->UpdateSandbox(id, overhead, resources);
}
Result<StringMap> Engine::PodSandboxInfo(const std::string& id) {
  return impl_->PodSandboxInfo(id);
}
Result<StringMap> Engine::ContainerInfo(const std::string& id) { return impl_->ContainerInfo(id); }

Result<> Engine::ReopenContainerLog(const Call& call, const std::string& id) {
  ContainerRecord record = TRY(impl_->NeedRunning(id, "reopen the log"));
  Result<> reopened = impl_->d.runtime.ReopenLog(record.sandbox_id, record.id, call.cancelled);
  if (!reopened) return impl_->IfEnded(record.id, std::move(reopened.error()));
  return reopened;
}

}  // namespace berth::pod
