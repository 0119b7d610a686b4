// SPDX-License-Identifier: Apache-2.0
// Stopping containers over fakes, with a clock that the test moves.
#include <gtest/gtest.h>
#include <signal.h>

#include <future>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

using std::chrono::seconds;

TEST(EngineStop, Rule14TheStopSignalIsTheRequestsElseTheImagesElseTerm) {
  World world;
  std::string pod = *world.Run();
  image::FoundImage quits;
  quits.info.id = "sha256:44";
  quits.info.tags = {"quits"};
  quits.process.stop_signal = "SIGQUIT";
  world.images.AddImage(quits);
  auto signal_sent = [&](const std::string& name, const std::string& image, int asked) {
    ContainerConfig config = MinimalContainerConfig(name);
    config.image.image = image;
    config.stop_signal = asked;
    std::string id = *world.engine->CreateContainer({}, pod, config);
    EXPECT_TRUE(world.engine->StartContainer({}, id));
    EXPECT_TRUE(world.engine->StopContainer({}, id, seconds(60)));
    EXPECT_EQ(world.Status(id).state, ContainerState::kExited);
    return world.runtime.Containers().at(id).signals.at(0);
  };
  EXPECT_EQ(signal_sent("a", "busybox", 0), SIGTERM);
  EXPECT_EQ(signal_sent("b", "quits", 0), SIGQUIT);
  EXPECT_EQ(signal_sent("c", "quits", SIGUSR1), SIGUSR1);
}

TEST(EngineStop, Rule14TimeoutZeroKillsWithoutASignalBefore) {
  World world;
  auto [pod, id] = world.Running();
  ASSERT_TRUE(world.engine->StopContainer({}, id, seconds(0)));
  EXPECT_EQ(world.runtime.Containers().at(id).signals.at(0), SIGKILL);
  EXPECT_EQ(world.runtime.CountCalls("Signal"), 0u);
  EXPECT_EQ(world.Status(id).exit_code, 137);
}

TEST(EngineStop, AfterTheGraceItIsKilled) {
  World world;
  auto [pod, id] = world.Running();
  world.runtime.IgnoreSignal(id, SIGTERM);
  auto stop = std::async(std::launch::async,
                         [&, id = id] { return world.engine->StopContainer({}, id, seconds(30)); });
  ASSERT_TRUE(world.Eventually([&] { return world.runtime.CountCalls("Signal") == 1; }));
  EXPECT_EQ(world.runtime.CountCalls("KillAll"), 0u);
  world.clock.Advance(seconds(31));
  ASSERT_TRUE(stop.get());
  EXPECT_EQ(world.Status(id).exit_code, 137);
}

TEST(EngineStop, Rule14ALaterShorterStopShortensAndNeverLengthens) {
  World world;
  auto [pod, id] = world.Running();
  world.runtime.IgnoreSignal(id, SIGTERM);
  auto stop = [&, id = id](seconds grace) {
    return std::async(std::launch::async,
                      [&, grace] { return world.engine->StopContainer({}, id, grace); });
  };
  auto day = stop(seconds(86400));
  ASSERT_TRUE(world.Eventually([&] { return world.runtime.CountCalls("Signal") == 1; }));
  auto minute = stop(seconds(60));
  auto longer = stop(seconds(99999));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(world.runtime.CountCalls("KillAll"), 0u);
  world.clock.Advance(seconds(61));
  EXPECT_TRUE(day.get());
  EXPECT_TRUE(minute.get());
  EXPECT_TRUE(longer.get());
  EXPECT_EQ(world.runtime.CountCalls("Signal"), 1u);
}

TEST(EngineStop, Rule14AClientThatGivesUpDoesNotEndTheStop) {
  World world;
  auto [pod, id] = world.Running();
  world.runtime.IgnoreSignal(id, SIGTERM);
  std::stop_source gave_up;
  auto stop = std::async(std::launch::async, [&, id = id] {
    return world.engine->StopContainer({gave_up.get_token(), {}}, id, seconds(30));
  });
  ASSERT_TRUE(world.Eventually([&] { return world.runtime.CountCalls("Signal") == 1; }));
  gave_up.request_stop();
  EXPECT_EQ(stop.get().error().code(), Code::kCancelled);
  EXPECT_EQ(world.Status(id).state, ContainerState::kRunning) << "not killed early";
  world.clock.Advance(seconds(31));
  EXPECT_TRUE(world.Becomes(id, ContainerState::kExited));
}

TEST(EngineStop, Rule14ADeadlineOfTheClientIsDeadlineExceeded) {
  World world;
  auto [pod, id] = world.Running();
  world.runtime.IgnoreSignal(id, SIGTERM);
  Call call;
  call.deadline = world.clock.Monotonic() + seconds(5);
  auto stop = std::async(std::launch::async, [&, id = id] {
    return world.engine->StopContainer(call, id, seconds(30));
  });
  ASSERT_TRUE(world.Eventually([&] { return world.runtime.CountCalls("Signal") == 1; }));
  world.clock.Advance(seconds(6));
  EXPECT_EQ(stop.get().error().code(), Code::kDeadlineExceeded);
}

TEST(EngineStop, Rule15ALongGraceDoesNotHoldUpStoppingThePod) {
  World world;
  auto [pod, id] = world.Running();
  world.runtime.IgnoreSignal(id, SIGTERM);
  auto stop = std::async(std::launch::async, [&, id = id] {
    return world.engine->StopContainer({}, id, seconds(86400));
  });
  ASSERT_TRUE(world.Eventually([&] { return world.runtime.CountCalls("Signal") == 1; }));
  EXPECT_EQ(world.engine->ListContainers({}).size(), 1u);
  EXPECT_TRUE(world.engine->StopPodSandbox({}, pod));
  EXPECT_TRUE(stop.get());
}

TEST(EngineStop, StoppingOneThatNeverRanEndsIt) {
  World world;
  std::string id = *world.Create(*world.Run());
  ASSERT_TRUE(world.engine->StopContainer({}, id, seconds(30)));
  EXPECT_EQ(world.Status(id).state, ContainerState::kExited);
  EXPECT_EQ(world.runtime.CountCalls("Signal"), 0u);
}
}  // namespace
}  // namespace berth::pod
