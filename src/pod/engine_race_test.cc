// SPDX-License-Identifier: Apache-2.0
// Many clients at once on the same pods and containers. What any single call answers is up to the order;
// that nothing hangs, is made twice or is left over is not. Meant for the thread sanitizer too.
#include <gtest/gtest.h>

#include <random>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

using std::chrono::seconds;

void DoSomething(World& world, std::minstd_rand& random) {
  std::string pod_name = random() % 2 ? "a" : "b";
  std::string container_name = random() % 2 ? "one" : "two";
  auto id = world.Run(pod_name);
  if (!id) return;
  auto container = world.Create(*id, container_name);
  Engine& engine = *world.engine;
  // The outcome is any of those that the table in engine_impl.h allows.
  Result<> ignored;
  switch (random() % 8) {
    case 0:
      ignored = engine.StopPodSandbox({}, *id);
      EXPECT_TRUE(ignored) << ignored.error().message();
      break;
    case 1:
      ignored = engine.RemovePodSandbox({}, *id);
      break;
    case 2:
      if (container) ignored = engine.RemoveContainer({}, *container);
      break;
    case 3:
      if (container) {
        ignored = engine.StopContainer({}, *container, seconds(random() % 2));
        EXPECT_TRUE(ignored) << ignored.error().message();
      }
      break;
    case 4:
      if (container) world.runtime.Exit(*container, 1);
      break;
    case 5:
      for (const auto& status : engine.ListContainers({})) EXPECT_GT(status.created_at, 0);
      for (const auto& status : engine.ListPodSandbox({})) EXPECT_GT(status.created_at, 0);
      break;
    default:
      if (container) ignored = engine.StartContainer({}, *container);
  }
}

TEST(EngineRace, ManyClientsLeaveNothingBehind) {
  World world;
  std::vector<std::thread> clients;
  for (unsigned c = 0; c < 4; ++c) {
    clients.emplace_back([&world, c] {
      std::minstd_rand random(c + 1);
      for (int i = 0; i < 150; ++i) DoSomething(world, random);
    });
  }
  for (std::thread& client : clients) client.join();
  // One name, one object: no two pods of the same name may be there.
  EXPECT_LE(world.engine->ListPodSandbox({}).size(), 2u);
  for (const auto& pod : world.engine->ListPodSandbox({})) {
    Result<> removed = world.engine->RemovePodSandbox({}, pod.id);
    EXPECT_TRUE(removed) << removed.error().message();
  }
  world.ExpectNothingLeft();
}

// The containers of a pod are stopped in parallel while the pod itself is stopped and removed.
TEST(EngineRace, StoppingAllContainersAndThePodAtOnce) {
  for (int round = 0; round < 10; ++round) {
    World world;
    std::string pod = *world.Run();
    std::vector<std::string> ids;
    for (int i = 0; i < 5; ++i) {
      ids.push_back(*world.Create(pod, StrCat("c", i)));
      ASSERT_TRUE(world.engine->StartContainer({}, ids.back()));
    }
    std::vector<std::thread> threads;
    for (const std::string& id : ids) {
      threads.emplace_back(
          [&world, &id] { EXPECT_TRUE(world.engine->StopContainer({}, id, seconds(30))); });
    }
    threads.emplace_back([&] { EXPECT_TRUE(world.engine->StopPodSandbox({}, pod)); });
    threads.emplace_back([&] { EXPECT_TRUE(world.engine->RemovePodSandbox({}, pod)); });
    for (std::thread& thread : threads) thread.join();
    world.ExpectNothingLeft();
  }
}

// A restart under load: what the first daemon was doing is put right by the second.
TEST(EngineRace, ADeathUnderLoadIsPutRight) {
  World world;
  world.DieAt(200);
  std::vector<std::thread> clients;
  for (unsigned c = 0; c < 4; ++c) {
    clients.emplace_back([&world, c] {
      std::minstd_rand random(c + 11);
      for (int i = 0; i < 30; ++i) {
        auto id = world.Run(random() % 2 ? "a" : "b");
        auto container = id ? world.Create(*id) : Result<std::string>(Error(Code::kAborted, ""));
        if (container && random() % 2) (void)world.engine->StartContainer({}, *container);
        if (id && random() % 4 == 0) (void)world.engine->RemovePodSandbox({}, *id);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  ASSERT_TRUE(world.Restart());
  for (const auto& pod : world.engine->ListPodSandbox({})) {
    Result<> removed = world.engine->RemovePodSandbox({}, pod.id);
    EXPECT_TRUE(removed) << removed.error().message();
  }
  world.ExpectNothingLeft();
}

}  // namespace
}  // namespace berth::pod
