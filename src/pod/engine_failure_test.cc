// SPDX-License-Identifier: Apache-2.0
// A failure, or the daemon's death, at every call that an operation makes.
#include <gtest/gtest.h>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

constexpr int kTooMany = 60;

SandboxConfig ConfigWithOwnCgroup() { return MinimalSandboxConfig(); }

TEST(EngineFailure, RunPodSandboxFailingAtAnyStepLeavesNothingAndCanBeRepeated) {
  int n = 1;
  for (; n < kTooMany; ++n) {
    World world;
    world.FailNth(n);
    auto id = world.engine->RunPodSandbox({}, ConfigWithOwnCgroup(), "");
    if (!world.fired()) break;
    SCOPED_TRACE(StrCat("step ", n, id ? "" : ": " + id.error().message()));
    ASSERT_FALSE(id);
    EXPECT_NE(id.error().message().find("injected"), std::string::npos);
    world.ExpectNothingLeft();
    world.Heal();
    EXPECT_TRUE(world.Run());
  }
  EXPECT_GE(n, 6) << "steps were counted";
}

TEST(EngineFailure, TheNetworkIsPreparedWhileItsNamespaceIsMade) {
  World world;
  Guarded<int> begun(0);
  bool met = true;
  world.OnCall([&](const std::string& name) {
    if (name != "network.Prepare" && name != "network.CreateNs") return;
    auto count = begun.Lock();
    ++*count;
    begun.NotifyAll();
    // Each waits for the other's begin.
    met &= begun.WaitFor(count, std::chrono::seconds(20), [](int& n) { return n == 2; });
  });
  auto id = world.Run();
  ASSERT_TRUE(id) << id.error().message();
  EXPECT_TRUE(met);
  EXPECT_EQ(world.network.Attachments(), std::vector<std::string>{*id});
  EXPECT_TRUE(world.network.Prepared().empty());
}

TEST(EngineFailure, APodWithoutItsNamespaceIsNotAttachedAndWhatWasPreparedIsUndone) {
  World world;
  world.FailAll({"network.CreateNs"});
  ExpectError(world.engine->RunPodSandbox({}, ConfigWithOwnCgroup(), "").error(), Code::kInternal,
              "network namespace: network.CreateNs: injected");
  for (const std::string& call : world.network.Calls()) {
    EXPECT_FALSE(call.starts_with("Attach ")) << call;
  }
  world.ExpectNothingLeft();
}

TEST(EngineFailure, CreateContainerFailingAtAnyStepLeavesNothingAndCanBeRepeated) {
  int n = 1;
  for (; n < kTooMany; ++n) {
    World world;
    std::string pod = *world.Run();
    world.FailNth(n);
    auto id = world.Create(pod);
    if (!world.fired()) break;
    SCOPED_TRACE(StrCat("step ", n));
    ASSERT_FALSE(id);
    EXPECT_TRUE(world.runtime.Containers().empty());
    EXPECT_TRUE(world.images.rootfs().empty());
    EXPECT_TRUE(world.records.Containers().empty());
    EXPECT_TRUE(world.engine->ListContainers({}).empty());
    world.Heal();
    EXPECT_TRUE(world.Create(pod));
  }
  EXPECT_GE(n, 7) << "steps were counted";
}

// Rules 18 and 19.
TEST(EngineFailure, Rule18AFailedStartIsExited128StartErrorAndRemovable) {
  World world;
  std::string pod = *world.Run();
  std::string id = *world.Create(pod);
  world.FailAll({"runtime.Start"});
  auto started = world.engine->StartContainer({}, id);
  ASSERT_FALSE(started);
  world.Heal();
  ContainerStatus status = world.Status(id);
  EXPECT_EQ(status.state, ContainerState::kExited);
  EXPECT_EQ(status.exit_code, 128);
  EXPECT_EQ(status.reason, "StartError");
  EXPECT_NE(status.message.find("injected"), std::string::npos);
  ExpectError(world.engine->StartContainer({}, id).error(), Code::kFailedPrecondition, "exited");
  ASSERT_TRUE(world.engine->RemoveContainer({}, id));
  EXPECT_TRUE(world.runtime.Containers().empty());
  std::string again = *world.Create(pod);
  EXPECT_TRUE(world.engine->StartContainer({}, again));
}

// A full disk must not kill what has started; the next daemon finds it running.
TEST(EngineFailure, AStartWhoseRecordCannotBeWrittenIsFoundRunningAfterARestart) {
  World world;
  std::string id = *world.Create(*world.Run());
  world.FailAll({"records.PutContainer"});
  ASSERT_TRUE(world.engine->StartContainer({}, id));
  EXPECT_EQ(world.Status(id).state, ContainerState::kRunning);
  ASSERT_TRUE(world.Restart());
  EXPECT_EQ(world.Status(id).state, ContainerState::kRunning);
  EXPECT_GT(world.Status(id).started_at, 0);
}

TEST(EngineFailure, APodWhoseUndoFailedStaysNotReadyUntilItIsStoppedAndRemoved) {
  World world;
  world.FailAll({"runtime.StartSandbox", "network.Detach"});
  ASSERT_FALSE(world.Run());
  auto pods = world.engine->ListPodSandbox({});
  ASSERT_EQ(pods.size(), 1u);
  EXPECT_EQ(pods[0].state, SandboxState::kNotReady);
  ExpectError(world.Run().error(), Code::kAlreadyExists, pods[0].id);
  EXPECT_FALSE(world.engine->StopPodSandbox({}, pods[0].id));
  ASSERT_TRUE(world.Restart());
  EXPECT_EQ(world.engine->ListPodSandbox({}).size(), 1u);
  ASSERT_TRUE(world.engine->StopPodSandbox({}, pods[0].id));
  ASSERT_TRUE(world.engine->RemovePodSandbox({}, pods[0].id));
  world.ExpectNothingLeft();
  EXPECT_TRUE(world.Run());
}

TEST(EngineFailure, AContainerWhoseUndoFailedStaysExitedUntilItIsRemoved) {
  World world;
  std::string pod = *world.Run();
  world.FailAll({"runtime.Create", "images.RemoveRootfs"});
  ASSERT_FALSE(world.Create(pod));
  auto left = world.engine->ListContainers({});
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].state, ContainerState::kExited);
  EXPECT_EQ(left[0].reason, "CreateError");
  EXPECT_FALSE(world.engine->RemoveContainer({}, left[0].id));
  world.Heal();
  ASSERT_TRUE(world.engine->RemoveContainer({}, left[0].id));
  EXPECT_TRUE(world.images.rootfs().empty());
  EXPECT_TRUE(world.records.Containers().empty());
}

TEST(EngineFailure, StopAndRemoveFailingAtAnyStepCanBeRepeatedToTheEnd) {
  int n = 1;
  for (; n < kTooMany; ++n) {
    World world;
    auto [pod, container] = world.Running();
    world.FailNth(n);
    Result<> removed = world.engine->RemovePodSandbox({}, pod);
    bool fired = world.fired();
    SCOPED_TRACE(StrCat("step ", n));
    world.Heal();
    if (!removed) {
      EXPECT_FALSE(world.engine->ListPodSandbox({}).empty());
      EXPECT_TRUE(world.engine->StopPodSandbox({}, pod));
      EXPECT_TRUE(world.engine->RemovePodSandbox({}, pod));
    }
    // A write that was only logged may have failed; the rows are gone all the same.
    world.ExpectNothingLeft();
    if (!fired) break;
  }
  EXPECT_GE(n, 8) << "steps were counted";
}

// The daemon is killed at call n, nothing after it happens, and the next daemon puts
// the node right.
TEST(EngineFailure, DeathAtAnyStepOfRunPodSandboxIsUndoneByTheNextDaemon) {
  int n = 1;
  for (; n < kTooMany; ++n) {
    World world;
    world.DieAt(n);
    bool ran = world.Run().has_value();
    if (!world.fired()) break;
    SCOPED_TRACE(StrCat("step ", n));
    EXPECT_FALSE(ran);
    ASSERT_TRUE(world.Restart());
    world.ExpectNothingLeft();
    EXPECT_TRUE(world.Run());
  }
  EXPECT_GE(n, 6) << "steps were counted";
}

TEST(EngineFailure, DeathAtAnyStepOfCreateContainerIsUndoneByTheNextDaemon) {
  int n = 1;
  for (; n < kTooMany; ++n) {
    World world;
    std::string pod = *world.Run();
    world.DieAt(n);
    bool created = world.Create(pod).has_value();
    if (!world.fired()) break;
    SCOPED_TRACE(StrCat("step ", n));
    EXPECT_FALSE(created);
    ASSERT_TRUE(world.Restart());
    EXPECT_EQ(world.engine->PodSandboxStatus(pod)->state, SandboxState::kReady);
    EXPECT_TRUE(world.runtime.Containers().empty());
    EXPECT_TRUE(world.images.rootfs().empty());
    EXPECT_TRUE(world.records.Containers().empty());
    EXPECT_TRUE(world.Create(pod));
  }
  EXPECT_GE(n, 6) << "steps were counted";
}

TEST(EngineFailure, DeathAtAnyStepOfRemovePodSandboxIsFinishedAfterTheRestart) {
  int n = 1;
  for (; n < kTooMany; ++n) {
    World world;
    auto [pod, container] = world.Running();
    world.DieAt(n);
    bool removed = world.engine->RemovePodSandbox({}, pod).has_value();
    if (!world.fired()) break;
    SCOPED_TRACE(StrCat("step ", n));
    EXPECT_FALSE(removed);
    ASSERT_TRUE(world.Restart());
    EXPECT_TRUE(world.engine->StopPodSandbox({}, pod));
    EXPECT_TRUE(world.engine->RemovePodSandbox({}, pod));
    world.ExpectNothingLeft();
  }
  EXPECT_GE(n, 6) << "steps were counted";
}

}  // namespace
}  // namespace berth::pod
