// SPDX-License-Identifier: Apache-2.0
// An Engine over fakes of everything below it, with one counter over all calls into them: a test
// makes the nth fail, or every one from the nth on (the daemon died there), or all of one name.
// Owned by the test.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "base/strings.h"
#include "image/testing/fake_images.h"
#include "pod/engine.h"
#include "pod/testing/fake_records.h"
#include "pod/testing/sample_records.h"
#include "runtime/testing/fake_host.h"
#include "runtime/testing/fake_network.h"
#include "runtime/testing/fake_runtime.h"
#include "runtime/testing/fake_stats.h"

namespace berth::pod {

inline constexpr char kImageId[] =
    "sha256:1111111111111111111111111111111111111111111111111111111111111111";

class World {
 public:
  World() {
    Hook("runtime", [this](auto hook) { runtime.SetHook(hook); });
    Hook("network", [this](auto hook) { network.SetHook(hook); });
    Hook("host", [this](auto hook) { host.SetHook(hook); });
    Hook("images", [this](auto hook) { images.SetHook(hook); });
    Hook("records", [this](auto hook) { records.SetHook(hook); });
    image::FoundImage image;
    image.info.id = kImageId;
    image.info.tags = {"docker.io/library/busybox:latest"};
    image.info.digests = {"docker.io/library/busybox@sha256:22"};
    image.info.size_bytes = 1;
    image.process.cmd = {"sh"};
    images.AddImage(image);
    EXPECT_TRUE(Restart());
  }

  // A new daemon over what the last one left.
  Result<> Restart() {
    engine.reset();
    Heal();
    engine = std::make_unique<Engine>(
        Engine::Dependencies{images, runtime, network, host, records, clock, stats}, config);
    engine->SetEventListener([this](const LifecycleEvent& e) { events_.Lock()->push_back(e); });
    return engine->Recover();
  }

  // --- failures
  void FailNth(int n) { Plan({.nth = n}); }
  void DieAt(int n) { Plan({.nth = n, .for_ever = true}); }
  void FailAll(std::set<std::string> names) { Plan({.names = std::move(names)}); }
  // Asked in every call, without a lock, from any thread.
  void FailWhen(std::function<bool(const std::string& name)> chooses) {
    Plan({.chooses = std::move(chooses)});
  }
  void Heal() { Plan({}); }
  bool fired() { return faults_.Lock()->fired; }
  // Called in every call, without a lock; may block.
  void OnCall(std::function<void(const std::string& name)> watch) {
    faults_.Lock()->watch = std::move(watch);
  }

  // --- short forms
  Result<std::string> Run(const std::string& name = "web") {
    return engine->RunPodSandbox({}, MinimalSandboxConfig(name), "");
  }
  Result<std::string> Create(const std::string& pod, const std::string& name = "app") {
    return engine->CreateContainer({}, pod, MinimalContainerConfig(name));
  }
  // A pod with one running container; the ids.
  std::pair<std::string, std::string> Running() {
    std::string pod = Run().value_or("");
    std::string container = Create(pod).value_or("");
    EXPECT_TRUE(engine->StartContainer({}, container));
    return {pod, container};
  }
  ContainerStatus Status(const std::string& id) {
    auto status = engine->GetContainerStatus(id);
    EXPECT_TRUE(status) << status.error().message();
    return status ? *status : ContainerStatus{};
  }
  bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  bool Becomes(const std::string& container, ContainerState state) {
    return Eventually([&] {
      auto status = engine->GetContainerStatus(container);
      return status && status->state == state;
    });
  }
  std::vector<LifecycleEvent> Events() { return *events_.Lock(); }

  // Nothing of any pod or container is left anywhere.
  void ExpectNothingLeft() {
    EXPECT_TRUE(runtime.Empty());
    EXPECT_TRUE(network.Empty());
    EXPECT_TRUE(host.Cgroups().empty());
    EXPECT_TRUE(images.rootfs().empty());
    EXPECT_TRUE(records.Empty());
    EXPECT_TRUE(engine->ListPodSandbox({}).empty());
    EXPECT_TRUE(engine->ListContainers({}).empty());
  }

  runtime::FakeRuntime runtime;
  runtime::FakeNetwork network;
  runtime::FakeHost host;
  image::FakeImages images;
  FakeRecords records;
  ManualClock clock;
  runtime::FakeStats stats{clock};
  EngineConfig config;

 private:
  struct Faults {
    int nth = 0;
    bool for_ever = false;
    std::set<std::string> names = {};
    int count = 0;
    bool fired = false;
    std::function<void(const std::string&)> watch = {};
    std::function<bool(const std::string&)> chooses = {};
  };
  void Plan(Faults faults) { *faults_.Lock() = std::move(faults); }

  template <class Set>
  void Hook(const std::string& owner, Set set) {
    set([this, owner](std::string_view call, std::string_view) -> Result<> {
      return Enter(StrCat(owner, ".", call));
    });
  }
  Result<> Enter(const std::string& name) {
    std::function<void(const std::string&)> watch;
    std::function<bool(const std::string&)> chooses;
    bool fail = false;
    {
      auto faults = faults_.Lock();
      int count = ++faults->count;
      bool counted =
          faults->nth > 0 && (faults->for_ever ? count >= faults->nth : count == faults->nth);
      fail = counted || faults->names.contains(name);
      faults->fired = faults->fired || fail;
      watch = faults->watch;
      chooses = faults->chooses;
    }
    if (watch) watch(name);
    if (fail || (chooses && chooses(name)))
      return Error(Code::kInternal, StrCat(name, ": injected"));
    return Ok();
  }

  Guarded<Faults> faults_;
  Guarded<std::vector<LifecycleEvent>> events_;

 public:
  std::unique_ptr<Engine> engine;  // ends first: its threads use what is above
};

inline void ExpectError(const Error& error, Code code, std::string_view fragment) {
  EXPECT_EQ(error.code(), code) << error.message();
  EXPECT_NE(error.message().find(fragment), std::string::npos) << error.message();
}

}  // namespace berth::pod
