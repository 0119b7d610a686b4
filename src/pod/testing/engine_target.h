// SPDX-License-Identifier: Apache-2.0
// The engine of a World as what the race driver drives: calls take a little time here and there, clients give up by
// deadline and by cancelling, and time passes fifty times as fast. Owned by the test.
#pragma once

#include <atomic>
#include <csignal>
#include <thread>

#include "pod/testing/engine_world.h"
#include "pod/testing/race_target.h"

namespace berth::pod {

class EngineTarget final : public RaceTarget {
 public:
  explicit EngineTarget(World& world) : world_(world) {
    world_.runtime.SetExec(
        [](const runtime::ExecRequest&, std::chrono::nanoseconds,
           size_t) -> Result<runtime::ExecOutput> { return runtime::ExecOutput(); });
    ticker_ = std::jthread([this](const std::stop_token& over) {
      while (!over.stop_requested()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        world_.clock.Advance(std::chrono::milliseconds(50));
      }
    });
  }

  // One call in eight below the engine takes up to 200 us. With faults one in `one_in` fails.
  void Stir(unsigned one_in = 0) {
    world_.FailWhen([this, one_in](const std::string& name) {
      const uint64_t dice = (dice_.fetch_add(1) * 0x9E3779B97F4A7C15ULL) >> 32;
      if (dice % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(dice / 8 % 200));
      // Nothing is lost with an exec or an update that fails; what cannot be read at a start is another test's.
      return one_in != 0 && dice / 64 % one_in == 0 && name != "records.LoadSandboxes";
    });
  }

  Result<std::string> Run(const std::string& name, Patience patience) override {
    return With(patience, [&](const Call& call) {
      return world_.engine->RunPodSandbox(call, MinimalSandboxConfig(name), "");
    });
  }
  Result<> StopPod(const std::string& id, Patience patience) override {
    return With(patience,
                [&](const Call& call) { return world_.engine->StopPodSandbox(call, id); });
  }
  Result<> RemovePod(const std::string& id, Patience patience) override {
    return With(patience,
                [&](const Call& call) { return world_.engine->RemovePodSandbox(call, id); });
  }
  // Every second container does not end by its stop signal.
  Result<std::string> Create(const std::string& pod_id, const std::string& name,
                             Patience patience) override {
    Result<std::string> id = With(patience, [&](const Call& call) {
      return world_.engine->CreateContainer(call, pod_id, MinimalContainerConfig(name));
    });
    if (id && id->back() % 2 == 0) world_.runtime.IgnoreSignal(*id, SIGTERM);
    return id;
  }
  Result<> Start(const std::string& id, Patience patience) override {
    return With(patience,
                [&](const Call& call) { return world_.engine->StartContainer(call, id); });
  }
  Result<> Stop(const std::string& id, std::chrono::seconds grace, Patience patience) override {
    return With(patience,
                [&](const Call& call) { return world_.engine->StopContainer(call, id, grace); });
  }
  Result<> Remove(const std::string& id, Patience patience) override {
    return With(patience,
                [&](const Call& call) { return world_.engine->RemoveContainer(call, id); });
  }
  Result<> Exec(const std::string& id, Patience patience) override {
    return With(patience, [&](const Call& call) -> Result<> {
      TRY(world_.engine->ExecSync(call, id, {"true"}, std::chrono::seconds(1)));
      return Ok();
    });
  }
  Result<> Update(const std::string& id, Patience patience) override {
    LinuxResources resources;
    resources.cpu_shares = 512;
    return With(patience, [&](const Call& call) {
      return world_.engine->UpdateContainerResources(call, id, resources);
    });
  }
  Result<SandboxState> PodState(const std::string& id) override {
    return TRY(world_.engine->PodSandboxStatus(id)).state;
  }
  Result<ContainerState> StateOf(const std::string& id) override {
    return TRY(world_.engine->GetContainerStatus(id)).state;
  }
  std::vector<Listed> ListPods() override {
    std::vector<Listed> out;
    for (const SandboxStatus& pod : world_.engine->ListPodSandbox({}))
      out.push_back({pod.id, pod.metadata.name, pod.state == SandboxState::kReady});
    return out;
  }
  std::vector<ContainerStatus> ListContainers(const std::string& pod_id) override {
    ContainerFilter filter;
    filter.sandbox_id = pod_id;
    return world_.engine->ListContainers(filter);
  }
  void Exit(const std::string& id) override { world_.runtime.Exit(id, 1); }
  bool LoseMonitor(const std::string& pod_id) override {
    world_.runtime.LoseMonitor(pod_id);
    return true;
  }

 private:
  // Every second client that gives up says so, the others' deadline passes.
  template <class Work>
  auto With(Patience patience, Work work) -> decltype(work(Call{})) {
    Call call;
    if (patience.count() == 0) return work(call);
    if (patience.count() % 2 == 0) {
      call.deadline = world_.clock.Monotonic() + patience * 50;
      return work(call);
    }
    // Not on the stack: gcc 12 takes it for uninitialised under the address sanitizer.
    const auto source = std::make_unique<std::stop_source>();
    call.cancelled = source->get_token();
    std::jthread leaves([&] {
      std::this_thread::sleep_for(patience);
      source->request_stop();
    });
    return work(call);
  }

  World& world_;
  std::atomic<uint64_t> dice_{1};
  std::jthread ticker_;  // last: it uses what is above
};

}  // namespace berth::pod
