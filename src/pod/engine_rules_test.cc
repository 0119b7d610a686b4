// SPDX-License-Identifier: Apache-2.0
// Rules of docs/cri-rules.md that no other test of the engine shows, over fakes.
#include <gtest/gtest.h>

#include <future>
#include <latch>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

TEST(EngineRules, Rule4WhatIsBeingMadeIsInNoListAndCannotBeAskedFor) {
  World world;
  std::string pod = *world.Run("other");
  for (std::string step : {"network.Attach", "runtime.Create"}) {
    std::latch making(1), go_on(1);
    world.OnCall([&](const std::string& name) {
      if (name != step) return;
      making.count_down();
      go_on.wait();
    });
    auto made = std::async(std::launch::async, [&] {
      return step == "runtime.Create" ? world.Create(pod) : world.Run();
    });
    making.wait();
    std::vector<SandboxStatus> pods = world.engine->ListPodSandbox({});
    EXPECT_EQ(pods.size(), step == "runtime.Create" ? 2U : 1U) << step;
    EXPECT_TRUE(world.engine->ListContainers({}).empty()) << step;
    EXPECT_TRUE(world.engine->Snapshot(pod)->containers.empty()) << step;
    go_on.count_down();
    ASSERT_TRUE(made.get());
    world.OnCall({});
  }
  EXPECT_EQ(world.engine->ListContainers({}).size(), 1U);
}

TEST(EngineRules, Rule9TheImageIsNamedByItsIdAndTheUsersNameIsToldBack) {
  World world;
  std::string pod = *world.Run();
  ContainerConfig config = MinimalContainerConfig();
  config.image.image = kImageId;
  config.image.user_specified_image = "busybox";
  std::string id = *world.engine->CreateContainer({}, pod, config);
  EXPECT_EQ(world.Status(id).image_id, kImageId);
  EXPECT_EQ(world.Status(id).image.user_specified_image, "busybox");
  config.metadata.name = "other";
  config.image.runtime_handler = "nope";
  ExpectError(world.engine->CreateContainer({}, pod, config).error(), Code::kNotFound, "nope");
  EXPECT_EQ(world.engine->ListContainers({}).size(), 1U);
}

TEST(EngineRules, Rule17RemovalsAtTheSameTimeJoin) {
  World world;
  auto [pod, id] = world.Running();
  std::latch deleting(1), go_on(1);
  world.OnCall([&](const std::string& name) {
    if (name != "runtime.Delete") return;
    deleting.count_down();
    go_on.wait();
  });
  auto remove = [&, id = id] { return world.engine->RemoveContainer({}, id); };
  auto first = std::async(std::launch::async, remove);
  deleting.wait();
  auto second = std::async(std::launch::async, remove);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  go_on.count_down();
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(second.get());
  EXPECT_EQ(world.runtime.CountCalls("Delete"), 1U);
}

TEST(EngineRules, ARemovalThatThePodsEndRefusedIsTriedAgainAlsoOnceThePodHasEnded) {
  World world;
  auto [pod, id] = world.Running();
  ASSERT_TRUE(world.engine->StopPodSandbox({}, pod));
  world.runtime.FailAt("Delete", Error(Code::kFailedPrecondition, "pod is ending"));
  Result<> removed = world.engine->RemoveContainer({}, id);
  EXPECT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(world.runtime.CountCalls("Delete"), 2U);
  EXPECT_TRUE(world.engine->ListContainers({}).empty());
}

TEST(EngineRules, Rule28WhatDoesNotRunHasNoLogToReopen) {
  World world;
  std::string id = *world.Create(*world.Run());
  ExpectError(world.engine->ReopenContainerLog({}, id).error(), Code::kFailedPrecondition,
              "not running");
  ASSERT_TRUE(world.engine->StartContainer({}, id));
  EXPECT_TRUE(world.engine->ReopenContainerLog({}, id));
  world.runtime.Exit(id, 0);
  ASSERT_TRUE(world.Becomes(id, ContainerState::kExited));
  ExpectError(world.engine->ReopenContainerLog({}, id).error(), Code::kFailedPrecondition,
              "not running");
  EXPECT_EQ(world.runtime.CountCalls("ReopenLog"), 1U);
}

}  // namespace
}  // namespace berth::pod
