// SPDX-License-Identifier: Apache-2.0
// Containers over fakes: creation, states, removing, exec, lists.
#include <gtest/gtest.h>

#include <future>
#include <latch>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

using std::chrono::seconds;

TEST(EngineContainer, Rule21TheStatesAndTimesOfALife) {
  World world;
  std::string pod = *world.Run();
  std::string id = *world.Create(pod);
  ContainerStatus status = world.Status(id);
  EXPECT_EQ(status.state, ContainerState::kCreated);
  EXPECT_GT(status.created_at, 0);
  EXPECT_EQ(status.started_at, 0);
  EXPECT_EQ(status.finished_at, 0);
  EXPECT_GT(status.pid, 0);
  EXPECT_EQ(status.image_id, kImageId);
  EXPECT_EQ(status.image.image, "docker.io/library/busybox:latest");
  EXPECT_EQ(status.image_ref, "docker.io/library/busybox@sha256:22");
  EXPECT_EQ(status.log_path, "/var/log/pods/web/app/0.log");
  ASSERT_TRUE(world.engine->StartContainer({}, id));
  status = world.Status(id);
  EXPECT_EQ(status.state, ContainerState::kRunning);
  EXPECT_GT(status.started_at, 0);
  EXPECT_EQ(status.finished_at, 0);
  world.runtime.Exit(id, 0);
  ASSERT_TRUE(world.Becomes(id, ContainerState::kExited));
  status = world.Status(id);
  EXPECT_EQ(status.reason, "Completed");
  EXPECT_GE(status.finished_at, status.started_at);
  EXPECT_EQ(status.pid, 0);
  ExpectError(world.engine->StartContainer({}, id).error(), Code::kFailedPrecondition, "exited");
}

TEST(EngineContainer, Rule19ReasonsOfAnEnd) {
  struct {
    int code;
    bool oom;
    const char* reason;
  } cases[] = {{0, false, "Completed"},
               {3, false, "Error"},
               {137, true, "OOMKilled"},
               {0, true, "OOMKilled"}};
  for (const auto& c : cases) {
    World world;
    auto [pod, id] = world.Running();
    world.runtime.Exit(id, c.code, c.oom);
    ASSERT_TRUE(world.Becomes(id, ContainerState::kExited));
    EXPECT_EQ(world.Status(id).reason, c.reason);
    EXPECT_EQ(world.Status(id).exit_code, c.code);
  }
}

TEST(EngineContainer, AMissingImageIsNotFoundAndAStopSignalThatIsNoneIsRefused) {
  World world;
  std::string pod = *world.Run();
  ContainerConfig config = MinimalContainerConfig();
  config.image.image = "absent";
  ExpectError(world.engine->CreateContainer({}, pod, config).error(), Code::kNotFound, "absent");
  image::FoundImage odd;
  odd.info.id = "sha256:33";
  odd.info.tags = {"odd"};
  odd.process.stop_signal = "SIGNOPE";
  world.images.AddImage(odd);
  config.image.image = "odd";
  ExpectError(world.engine->CreateContainer({}, pod, config).error(), Code::kInvalidArgument,
              "SIGNOPE");
}

TEST(EngineContainer, Rule42ARepeatJoinsAndANameIsHeldUntilRemoval) {
  World world;
  std::string pod = *world.Run();
  std::latch creating(1), go_on(1);
  world.OnCall([&](const std::string& name) {
    if (name != "runtime.Create") return;
    creating.count_down();
    go_on.wait();
  });
  auto first = std::async(std::launch::async, [&] { return world.Create(pod); });
  creating.wait();
  EXPECT_TRUE(world.engine->ListContainers({}).empty());
  auto second = std::async(std::launch::async, [&] { return world.Create(pod); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  go_on.count_down();
  auto a = first.get(), b = second.get();
  ASSERT_TRUE(a && b);
  EXPECT_EQ(*a, *b);
  EXPECT_EQ(world.runtime.CountCalls("Create"), 1u);
  ASSERT_TRUE(world.Restart());
  EXPECT_EQ(*world.Create(pod), *a);
  ASSERT_TRUE(world.engine->StartContainer({}, *a));
  ExpectError(world.Create(pod).error(), Code::kAlreadyExists, *a);
  ASSERT_TRUE(world.engine->RemoveContainer({}, *a));
  EXPECT_NE(*world.Create(pod), *a);
}

TEST(EngineContainer, Rule17RemovingARunningOneKillsItFirst) {
  World world;
  auto [pod, id] = world.Running();
  ASSERT_TRUE(world.engine->RemoveContainer({}, id));
  ASSERT_TRUE(world.engine->RemoveContainer({}, id));
  EXPECT_TRUE(world.runtime.Containers().empty());
  EXPECT_TRUE(world.images.rootfs().empty());
  EXPECT_EQ(world.engine->GetContainerStatus(id).error().code(), Code::kNotFound);
}

TEST(EngineContainer, Rule17WhileItStartsItIsNotRemovedAndAStopWaits) {
  World world;
  std::string id = *world.Create(*world.Run());
  std::latch starting(1), go_on(1);
  world.OnCall([&](const std::string& name) {
    if (name != "runtime.Start") return;
    starting.count_down();
    go_on.wait();
  });
  auto start = std::async(std::launch::async, [&] { return world.engine->StartContainer({}, id); });
  starting.wait();
  ExpectError(world.engine->RemoveContainer({}, id).error(), Code::kFailedPrecondition, "started");
  auto stop = std::async(std::launch::async,
                         [&] { return world.engine->StopContainer({}, id, seconds(0)); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(world.runtime.CountCalls("KillAll"), 0u);
  go_on.count_down();
  EXPECT_TRUE(start.get());
  EXPECT_TRUE(stop.get());
  EXPECT_EQ(world.Status(id).state, ContainerState::kExited);
}

// The exit reaches the engine before the start call has returned.
TEST(EngineContainer, AnExitDuringTheStartComesAfterIt) {
  World world;
  std::string id = *world.Create(*world.Run());
  world.OnCall([&](const std::string& name) {
    if (name != "runtime.Start") return;
    world.runtime.Exit(id, 7);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  // The fake then refuses to start what has ended: the failure wins over the exit.
  EXPECT_FALSE(world.engine->StartContainer({}, id));
  EXPECT_EQ(world.Status(id).exit_code, 128);
  EXPECT_EQ(world.Status(id).reason, "StartError");
}

TEST(EngineContainer, AnExitWhileTheDaemonWasDownIsFoundAtItsStart) {
  World world;
  auto [pod, id] = world.Running();
  world.engine.reset();
  world.runtime.Exit(id, 5);
  ASSERT_TRUE(world.Restart());
  EXPECT_EQ(world.Status(id).state, ContainerState::kExited);
  EXPECT_EQ(world.Status(id).exit_code, 5);
  EXPECT_EQ(world.engine->PodSandboxStatus(pod)->state, SandboxState::kReady);
}

TEST(EngineContainer, ExecRunsTheContainersOwnProcessWithAnotherCommand) {
  World world;
  auto [pod, id] = world.Running();
  std::string process;
  world.runtime.SetExec([&](const runtime::ExecRequest& request, std::chrono::nanoseconds timeout,
                            size_t limit) -> Result<runtime::ExecOutput> {
    process = request.process_json;
    EXPECT_FALSE(request.terminal);
    EXPECT_EQ(timeout, seconds(3));
    EXPECT_EQ(limit, (16u << 20) - 1024);  // rule 29: both streams fit the client's limit
    return runtime::ExecOutput{4, "out", "err"};
  });
  auto output = world.engine->ExecSync({}, id, {"ls", "-l"}, seconds(3));
  ASSERT_TRUE(output) << output.error().message();
  EXPECT_EQ(output->exit_code, 4);
  EXPECT_NE(process.find("\"args\":[\"ls\",\"-l\"]"), std::string::npos) << process;
  ExpectError(world.engine->ExecSync({}, id, {}, {}).error(), Code::kInvalidArgument, "command");
  world.runtime.SetExec([](auto&, auto, auto) -> Result<runtime::ExecOutput> {
    return Error(Code::kDeadlineExceeded, "the command did not end");
  });
  EXPECT_EQ(world.engine->ExecSync({}, id, {"ls"}, seconds(1)).error().code(),
            Code::kDeadlineExceeded);
  ASSERT_TRUE(world.engine->StopContainer({}, id, seconds(0)));
  ExpectError(world.engine->ExecSync({}, id, {"ls"}, {}).error(), Code::kFailedPrecondition,
              "not running");
  ExpectError(world.engine->ReopenContainerLog({}, id).error(), Code::kFailedPrecondition,
              "not running");
}

TEST(EngineContainer, Rule3ListsAndFilters) {
  World world;
  std::string a_pod = *world.Run("a"), b_pod = *world.Run("b");
  std::string one = *world.Create(a_pod, "one"), two = *world.Create(b_pod, "two");
  ASSERT_TRUE(world.engine->StartContainer({}, two));
  auto ids = [&](const ContainerFilter& filter) {
    std::set<std::string> out;
    for (const auto& status : world.engine->ListContainers(filter)) out.insert(status.id);
    return out;
  };
  EXPECT_EQ(ids({}), (std::set{one, two}));
  ContainerFilter filter;
  filter.sandbox_id = a_pod.substr(0, 12);
  EXPECT_EQ(ids(filter), std::set{one});
  filter.id = two;
  EXPECT_TRUE(ids(filter).empty());
  filter = {};
  filter.state = ContainerState::kRunning;
  EXPECT_EQ(ids(filter), std::set{two});
}

}  // namespace
}  // namespace berth::pod
