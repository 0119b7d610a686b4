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

// The kill finds the monitor dead before the news of its death is here: the stop waits for that, and succeeds.
TEST(EngineStop, AMonitorThatDiesMeanwhileDoesNotFailTheStop) {
  for (std::string call : {"KillAll", "Signal"}) {
    World world;
    auto [pod, id] = world.Running();
    world.runtime.FailAt(call, Error(Code::kUnavailable, "monitor: connection ended"));
    auto stop = std::async(std::launch::async, [&, id = id] {
      return world.engine->StopContainer({}, id, seconds(call == "Signal" ? 30 : 0));
    });
    ASSERT_TRUE(world.Eventually([&] { return world.runtime.CountCalls(call) == 1; }));
    world.runtime.LoseMonitor(pod);
    Result<> stopped = stop.get();
    ASSERT_TRUE(stopped) << call << ": " << stopped.error().message();
    EXPECT_EQ(world.Status(id).state, ContainerState::kExited);
    EXPECT_EQ(world.Status(id).reason, "Unknown");
  }
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
class JumpingClock final : public Clock {
 public:
  int64_t WallNanos() const override { return wall; }
  std::chrono::nanoseconds Monotonic() const override { return std::chrono::nanoseconds(mono); }
  std::atomic<int64_t> wall{1'700'000'000'000'000'000};
  std::atomic<int64_t> mono{1'000'000'000};
};

// The grace and a client's deadline are times that pass, whatever the wall says.
TEST(EngineStop, AWallClockThatJumpsMovesNeitherGraceNorDeadline) {
  constexpr int64_t kYear = int64_t{365} * 24 * 3600 * 1'000'000'000;
  World world;
  JumpingClock clock;
  world.engine.reset();
  world.engine =
      std::make_unique<Engine>(Engine::Dependencies{world.images, world.runtime, world.network,
                                                    world.host, world.records, clock, world.stats},
                               world.config);
  ASSERT_TRUE(world.engine->Recover());
  auto [pod, container] = world.Running();
  world.runtime.IgnoreSignal(container, SIGTERM);
  std::atomic<bool> stopped{false};
  std::thread stops([&, id = container] {
    EXPECT_TRUE(world.engine->StopContainer({}, id, std::chrono::seconds(30)));
    stopped = true;
  });
  Call hasty;
  hasty.deadline = clock.Monotonic() + std::chrono::seconds(20);
  std::atomic<bool> gave_up{false};
  std::thread waits([&, id = container] {
    Result<> late = world.engine->StopContainer(hasty, id, std::chrono::seconds(30));
    EXPECT_FALSE(late);
    if (!late) ExpectError(late.error(), Code::kDeadlineExceeded, "deadline");
    gave_up = true;
  });
  EXPECT_TRUE(world.Eventually([&] { return world.runtime.CountCalls("Signal") == 1; }));
  for (int64_t jump : {kYear, -2 * kYear, kYear}) {
    clock.wall += jump;
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    EXPECT_FALSE(stopped || gave_up) << "after a jump of " << jump;
  }
  clock.wall -= kYear;
  clock.mono += int64_t{21} * 1'000'000'000;
  EXPECT_TRUE(world.Eventually([&] { return gave_up.load(); }));
  EXPECT_FALSE(stopped);
  clock.mono += int64_t{10} * 1'000'000'000;
  EXPECT_TRUE(world.Eventually([&] { return stopped.load(); }));
  stops.join();
  waits.join();
  ContainerStatus status = world.Status(container);
  EXPECT_EQ(status.exit_code, 137);
  EXPECT_GE(status.finished_at, status.started_at) << "the clock was set back by a year";
  world.engine.reset();  // before the clock
}

}  // namespace
}  // namespace berth::pod
