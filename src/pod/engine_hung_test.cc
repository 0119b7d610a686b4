// SPDX-License-Identifier: Apache-2.0
// Pods whose monitors hang when the daemon starts, over fakes.
#include <gtest/gtest.h>

#include <atomic>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

SandboxState PodState(World& world, const std::string& pod) {
  return world.engine->PodSandboxStatus(pod)->state;
}

size_t CountEvents(World& world, LifecycleEvent::Type type, const std::string& container) {
  const std::vector<LifecycleEvent> events = world.Events();
  return static_cast<size_t>(std::ranges::count_if(events, [&](const LifecycleEvent& event) {
    return event.type == type && event.container_id == container;
  }));
}

TEST(EngineHung, ItIsToldAsOnRecordAndWhatHappenedMeanwhileWhenItAnswers) {
  World world;
  auto [pod, runs] = world.Running();
  const std::string ends = *world.Create(pod, "ends");
  ASSERT_TRUE(world.engine->StartContainer({}, ends));
  const std::string started = *world.Create(pod, "started");
  const std::string unknown = *world.Create(pod, "unknown");
  // Started, and the daemon ended before it was on record; removed behind its back.
  ASSERT_TRUE(world.runtime.Start(pod, started));
  world.runtime.HangMonitor(pod);
  ASSERT_TRUE(world.runtime.Delete(pod, unknown));
  ASSERT_TRUE(world.Restart());
  EXPECT_EQ(PodState(world, pod), SandboxState::kReady);
  EXPECT_EQ(world.Status(runs).state, ContainerState::kRunning);
  EXPECT_EQ(world.Status(started).state, ContainerState::kCreated);
  world.runtime.Exit(ends, 7);
  EXPECT_EQ(world.Status(ends).state, ContainerState::kRunning);
  world.runtime.Answer(pod);
  ASSERT_TRUE(world.Becomes(unknown, ContainerState::kExited));
  EXPECT_EQ(world.Status(unknown).exit_code, 255);
  EXPECT_EQ(world.Status(unknown).message, "its monitor does not know it");
  EXPECT_EQ(PodState(world, pod), SandboxState::kReady);
  EXPECT_EQ(world.Status(runs).state, ContainerState::kRunning);
  EXPECT_EQ(world.Status(ends).exit_code, 7);
  ASSERT_TRUE(world.Becomes(started, ContainerState::kRunning));
  EXPECT_GT(world.Status(started).started_at, 0);
  EXPECT_TRUE(world.Eventually(
      [&] { return CountEvents(world, LifecycleEvent::Type::kStopped, unknown) == 1; }));
  EXPECT_EQ(CountEvents(world, LifecycleEvent::Type::kStopped, ends), 1U);
  EXPECT_EQ(CountEvents(world, LifecycleEvent::Type::kStarted, started), 1U);
  EXPECT_EQ(CountEvents(world, LifecycleEvent::Type::kStarted, runs), 1U);
  // It is on record.
  ASSERT_TRUE(world.Restart());
  EXPECT_EQ(world.Status(ends).exit_code, 7);
  EXPECT_EQ(world.Status(unknown).exit_code, 255);
  ASSERT_TRUE(world.engine->RemovePodSandbox({}, pod));
  world.ExpectNothingLeft();
}

TEST(EngineHung, WhatCameAfterTheStartIsNotTakenForUnknown) {
  World world;
  auto [pod, runs] = world.Running();
  world.runtime.HangMonitor(pod);
  ASSERT_TRUE(world.Restart());
  const std::string late = *world.Create(pod, "late");
  world.runtime.Answer(pod);
  ASSERT_TRUE(world.engine->StopContainer({}, runs, std::chrono::seconds(0)));
  EXPECT_EQ(world.Status(late).state, ContainerState::kCreated);
  EXPECT_TRUE(world.engine->StartContainer({}, late));
}

TEST(EngineHung, OneThatDiesIsNotReadyAnyMore) {
  World world;
  auto [pod, runs] = world.Running();
  world.runtime.HangMonitor(pod);
  ASSERT_TRUE(world.Restart());
  world.runtime.LoseMonitor(pod);
  ASSERT_TRUE(world.Becomes(runs, ContainerState::kUnknown));
  EXPECT_EQ(PodState(world, pod), SandboxState::kNotReady);
}

TEST(EngineHung, APodThatWasBeingRemovedIsRemovedAndTheStartDoesNotWaitForIt) {
  World world;
  auto [pod, runs] = world.Running();
  SandboxRecord record = world.records.LoadSandboxes()->at(0);
  record.phase = SandboxPhase::kRemoving;
  ASSERT_TRUE(world.records.Put(record));
  world.runtime.HangMonitor(pod);
  std::atomic<bool> waits = true;
  world.OnCall([&](const std::string& name) {
    while (name == "runtime.StopSandbox" && waits) std::this_thread::yield();
  });
  ASSERT_TRUE(world.Restart());
  EXPECT_TRUE(world.engine->ListPodSandbox({}).empty());
  EXPECT_FALSE(world.records.Empty());
  // The name is free: another pod of that name is another pod.
  const std::string again = *world.Run();
  EXPECT_NE(again, pod);
  waits = false;
  EXPECT_TRUE(world.Eventually([&] { return world.records.LoadSandboxes()->size() == 1; }));
  ASSERT_TRUE(world.engine->RemovePodSandbox({}, again));
  world.ExpectNothingLeft();
}

}  // namespace
}  // namespace berth::pod
