// SPDX-License-Identifier: Apache-2.0
// Pods over fakes: joining, idempotence, lists, recovery.
#include <gtest/gtest.h>

#include <future>
#include <latch>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

using Type = LifecycleEvent::Type;

TEST(EngineSandbox, Rule25ARunningPodIsReadyWithItsAddress) {
  World world;
  std::string id = *world.Run();
  auto status = world.engine->PodSandboxStatus(id);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->state, SandboxState::kReady);
  EXPECT_EQ(status->metadata.name, "web");
  EXPECT_GT(status->created_at, 0);
  EXPECT_FALSE(status->ip.empty());
  EXPECT_EQ(world.host.Cgroups(), std::set<std::string>{"/berth/" + id});
  EXPECT_EQ(world.records.Sandboxes().at(id).phase, SandboxPhase::kReady);
}

TEST(EngineSandbox, Rule25WithTheHostsNetworkThereIsNoNamespaceNoCniAndNoAddress) {
  World world;
  SandboxConfig config = MinimalSandboxConfig();
  config.security.namespaces.network = NamespaceMode::kNode;
  std::string id = *world.engine->RunPodSandbox({}, config, "");
  EXPECT_TRUE(world.network.Empty());
  EXPECT_EQ(world.engine->PodSandboxStatus(id)->ip, "");
  EXPECT_FALSE(world.runtime.Sandboxes().at(id).spec.new_uts_namespace);
  EXPECT_TRUE(world.engine->RemovePodSandbox({}, id));
  world.ExpectNothingLeft();
}

TEST(EngineSandbox, ForCadvisorAPodHasAGroupThatStandsForItsNetwork) {
  World world;
  world.config.cgroups_for_cadvisor = true;
  ASSERT_TRUE(world.Restart());
  std::string id = *world.Run();
  const std::string group = "/berth/" + id;
  EXPECT_EQ(world.host.Cgroups(), (std::set<std::string>{group, group + "/crio-" + id + ".scope"}));
  std::string container = *world.Create(id);
  EXPECT_EQ(world.records.Containers().at(container).cgroups_path, group + "/crio-" + container);
  EXPECT_TRUE(world.engine->StopPodSandbox({}, id));
  EXPECT_EQ(world.host.Cgroups(), std::set<std::string>{group});
  EXPECT_TRUE(world.engine->RemovePodSandbox({}, id));
  world.ExpectNothingLeft();

  SandboxConfig config = MinimalSandboxConfig("host");
  config.security.namespaces.network = NamespaceMode::kNode;
  id = *world.engine->RunPodSandbox({}, config, "");
  EXPECT_EQ(world.host.Cgroups(), std::set<std::string>{"/berth/" + id});
}

TEST(EngineSandbox, AnUnknownHandlerIsRefusedBeforeAnythingIsMade) {
  World world;
  auto id = world.engine->RunPodSandbox({}, MinimalSandboxConfig(), "nope");
  ExpectError(id.error(), Code::kNotFound, "nope");
  world.ExpectNothingLeft();
}

TEST(EngineSandbox, Rule1UnknownAndEmptyIds) {
  World world;
  std::string unknown = TestId("f");
  EXPECT_TRUE(world.engine->StopPodSandbox({}, unknown));
  EXPECT_TRUE(world.engine->RemovePodSandbox({}, unknown));
  EXPECT_TRUE(world.engine->StopContainer({}, unknown, std::chrono::seconds(1)));
  EXPECT_TRUE(world.engine->RemoveContainer({}, unknown));
  EXPECT_EQ(world.engine->StopPodSandbox({}, "").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(world.engine->RemovePodSandbox({}, "").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(world.engine->RemoveContainer({}, "").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(world.engine->StopContainer({}, "", std::chrono::seconds(1)).error().code(),
            Code::kInvalidArgument);
  ExpectError(world.engine->PodSandboxStatus(unknown).error(), Code::kNotFound, unknown);
  ExpectError(world.engine->GetContainerStatus(unknown).error(), Code::kNotFound, unknown);
  ExpectError(world.engine->ExecSync({}, unknown, {"ls"}, {}).error(), Code::kNotFound, unknown);
  ExpectError(world.engine->StartContainer({}, unknown).error(), Code::kNotFound, unknown);
  ExpectError(world.Create(unknown).error(), Code::kNotFound, unknown);
}

TEST(EngineSandbox, ARepeatInFlightJoinsAndGetsTheSameId) {
  World world;
  std::latch attaching(1), go_on(1);
  world.OnCall([&](const std::string& name) {
    if (name != "network.Attach") return;
    attaching.count_down();
    go_on.wait();
  });
  auto first = std::async(std::launch::async, [&] { return world.Run(); });
  attaching.wait();
  EXPECT_TRUE(world.engine->ListPodSandbox({}).empty());
  auto second = std::async(std::launch::async, [&] { return world.Run(); });
  SandboxConfig other = MinimalSandboxConfig();
  other.hostname = "other";
  ExpectError(world.engine->RunPodSandbox({}, other, "").error(), Code::kAlreadyExists,
              "another configuration");
  std::stop_source gave_up;
  gave_up.request_stop();
  auto third = world.engine->RunPodSandbox({gave_up.get_token(), {}}, MinimalSandboxConfig(), "");
  EXPECT_EQ(third.error().code(), Code::kCancelled);
  go_on.count_down();
  auto a = first.get(), b = second.get();
  ASSERT_TRUE(a && b);
  EXPECT_EQ(*a, *b);
  EXPECT_EQ(world.runtime.CountCalls("StartSandbox"), 1u);
}

TEST(EngineSandbox, AJoinedFailureIsToldToAll) {
  World world;
  std::latch starting(1), go_on(1);
  world.FailAll({"runtime.StartSandbox"});
  world.OnCall([&](const std::string& name) {
    if (name != "runtime.StartSandbox") return;
    starting.count_down();
    go_on.wait();
  });
  auto first = std::async(std::launch::async, [&] { return world.Run(); });
  starting.wait();
  auto second = std::async(std::launch::async, [&] { return world.Run(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  go_on.count_down();
  EXPECT_FALSE(first.get());
  EXPECT_FALSE(second.get());
  EXPECT_EQ(world.runtime.CountCalls("StartSandbox"), 1u);
}

TEST(EngineSandbox, ARepeatOfAFinishedRunGivesTheSameIdAlsoAfterARestart) {
  World world;
  std::string id = *world.Run();
  EXPECT_EQ(*world.Run(), id);
  ASSERT_TRUE(world.Restart());
  EXPECT_EQ(*world.Run(), id);
  EXPECT_EQ(world.runtime.CountCalls("StartSandbox"), 1u);
  ASSERT_TRUE(world.engine->StopPodSandbox({}, id));
  ExpectError(world.Run().error(), Code::kAlreadyExists, id);
  ASSERT_TRUE(world.engine->RemovePodSandbox({}, id));
  EXPECT_NE(*world.Run(), id);
}

TEST(EngineSandbox, StopIsIdempotentAndKeepsWhatTheKubeletStillReads) {
  World world;
  auto [pod, container] = world.Running();
  ASSERT_TRUE(world.engine->StopPodSandbox({}, pod));
  ASSERT_TRUE(world.engine->StopPodSandbox({}, pod));
  EXPECT_EQ(world.runtime.CountCalls("StopSandbox"), 1u);
  EXPECT_TRUE(world.network.Empty());
  EXPECT_EQ(world.engine->PodSandboxStatus(pod)->state, SandboxState::kNotReady);
  EXPECT_EQ(world.engine->PodSandboxStatus(pod)->ip, "");
  ContainerStatus status = world.Status(container);
  EXPECT_EQ(status.state, ContainerState::kExited);
  EXPECT_EQ(status.exit_code, 137);
  EXPECT_EQ(world.images.rootfs().size(), 1u);
  ExpectError(world.Create(pod, "late").error(), Code::kFailedPrecondition, "not ready");  // 18
  ASSERT_TRUE(world.engine->RemovePodSandbox({}, pod));
  world.ExpectNothingLeft();
}

TEST(EngineSandbox, Rule3ListsFilterByPrefixStateAndLabels) {
  World world;
  SandboxConfig labelled = MinimalSandboxConfig("a");
  labelled.labels = {{"app", "x"}, {"tier", "y"}};
  std::string a = *world.engine->RunPodSandbox({}, labelled, "");
  std::string b = *world.Run("b");
  auto ids = [&](const SandboxFilter& filter) {
    std::set<std::string> out;
    for (const auto& status : world.engine->ListPodSandbox(filter)) out.insert(status.id);
    return out;
  };
  EXPECT_EQ(ids({}), (std::set{a, b}));
  EXPECT_EQ(ids({.id = a.substr(0, 12), .state = {}, .labels = {}}), std::set{a});
  EXPECT_EQ(ids({.id = "zz", .state = {}, .labels = {}}), std::set<std::string>{});
  EXPECT_EQ(ids({.id = {}, .state = {}, .labels = {{"app", "x"}}}), std::set{a});
  EXPECT_EQ(ids({.id = b, .state = {}, .labels = {{"app", "x"}}}), std::set<std::string>{});
  ASSERT_TRUE(world.engine->StopPodSandbox({}, b.substr(0, 13)));
  EXPECT_EQ(ids({.id = {}, .state = SandboxState::kReady, .labels = {}}), std::set{a});
  EXPECT_EQ(ids({.id = {}, .state = SandboxState::kNotReady, .labels = {}}), std::set{b});
  EXPECT_TRUE(world.engine->PodSandboxStatus(a.substr(0, 13)));
}

TEST(EngineSandbox, EventsTellTheWholeLifeInOrder) {
  World world;
  auto [pod, container] = world.Running();
  ASSERT_TRUE(world.engine->RemovePodSandbox({}, pod));
  std::vector<std::pair<Type, std::string>> want = {
      {Type::kCreated, pod},       {Type::kStarted, pod},       {Type::kCreated, container},
      {Type::kStarted, container}, {Type::kStopped, container}, {Type::kStopped, pod},
      {Type::kDeleted, container}, {Type::kDeleted, pod}};
  ASSERT_TRUE(world.Eventually([&] { return world.Events().size() >= want.size(); }));
  auto events = world.Events();
  ASSERT_EQ(events.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(events[i].type, want[i].first) << i;
    EXPECT_EQ(events[i].container_id, want[i].second) << i;
    EXPECT_EQ(events[i].sandbox_id, pod) << i;
    if (i > 0) {
      EXPECT_GT(events[i].created_at, events[i - 1].created_at);
    }
  }
}

TEST(EngineSandbox, APodWhoseMonitorDiesIsNotReadyAndItsContainersUnknownUntilStopped) {
  World world;
  auto [pod, container] = world.Running();
  world.runtime.LoseMonitor(pod);
  ASSERT_TRUE(world.Eventually([&, id = pod] {
    return world.engine->PodSandboxStatus(id)->state == SandboxState::kNotReady;
  }));
  ASSERT_TRUE(world.Becomes(container, ContainerState::kUnknown));
  ASSERT_TRUE(world.engine->StopPodSandbox({}, pod));
  ContainerStatus status = world.Status(container);
  EXPECT_EQ(status.state, ContainerState::kExited);
  EXPECT_EQ(status.exit_code, 255);
  EXPECT_EQ(status.reason, "Unknown");
  ASSERT_TRUE(world.engine->RemovePodSandbox({}, pod));
  world.ExpectNothingLeft();
}

TEST(EngineSandbox, WhatRunsIsListedAgainWhenItsRecordsAreLost) {
  World world;
  auto [pod, container] = world.Running();
  std::string created = *world.engine->CreateContainer({}, pod, MinimalContainerConfig("created"));
  std::string ended = *world.engine->CreateContainer({}, pod, MinimalContainerConfig("ended"));
  ASSERT_TRUE(world.engine->StartContainer({}, ended));
  world.runtime.Exit(ended, 3);
  ASSERT_TRUE(world.Becomes(ended, ContainerState::kExited));
  SandboxStatus before = *world.engine->PodSandboxStatus(pod);
  ContainerStatus status = world.Status(container);
  world.engine.reset();
  ASSERT_TRUE(world.records.RemoveSandbox(pod));
  for (const std::string& id : {container, created, ended})
    ASSERT_TRUE(world.records.RemoveContainer(id));
  ASSERT_TRUE(world.Restart());
  SandboxStatus after = *world.engine->PodSandboxStatus(pod);
  EXPECT_EQ(after.state, SandboxState::kReady);
  EXPECT_EQ(after.metadata.name, before.metadata.name);
  EXPECT_FALSE(after.ip.empty());
  EXPECT_EQ(after.ip, before.ip);
  EXPECT_EQ(world.Status(container).state, ContainerState::kRunning);
  EXPECT_EQ(world.Status(container).image_ref, status.image_ref);
  EXPECT_EQ(world.Status(created).state, ContainerState::kCreated);
  EXPECT_EQ(world.Status(ended).exit_code, 3);
  // Their names are taken, and they are on record again.
  EXPECT_EQ(*world.Run(), pod);
  world.engine.reset();
  ASSERT_TRUE(world.Restart());
  EXPECT_EQ(world.Status(container).state, ContainerState::kRunning);
  ASSERT_TRUE(world.engine->RemovePodSandbox({}, pod));
  world.ExpectNothingLeft();
}

TEST(EngineSandbox, ARebootLeavesNotReadyPodsExitedContainersAndFreedAddresses) {
  World world;
  auto [pod, container] = world.Running();
  world.engine.reset();
  world.runtime.Reboot();
  world.network.Reboot();
  world.host.MutableFacts().boot_id = "the next boot";
  ASSERT_TRUE(world.Restart());
  EXPECT_EQ(world.engine->PodSandboxStatus(pod)->state, SandboxState::kNotReady);
  ContainerStatus status = world.Status(container);
  EXPECT_EQ(status.state, ContainerState::kExited);
  EXPECT_EQ(status.exit_code, 255);
  EXPECT_EQ(status.reason, "Unknown");
  EXPECT_TRUE(world.network.Attachments().empty());
  ASSERT_TRUE(world.engine->RemovePodSandbox({}, pod));
  world.ExpectNothingLeft();
}

TEST(EngineSandbox, RecordsThatCannotBeReadAreShownAndCanBeRemoved) {
  World world;
  auto [pod, container] = world.Running();
  world.records.Damage(pod);
  world.records.Damage(container);
  ASSERT_TRUE(world.Restart());
  ASSERT_EQ(world.engine->ListPodSandbox({}).size(), 1u);
  EXPECT_EQ(world.engine->PodSandboxStatus(pod)->state, SandboxState::kNotReady);
  ContainerStatus status = world.Status(container);
  EXPECT_EQ(status.state, ContainerState::kUnknown);
  EXPECT_FALSE(status.image_ref.empty());
  EXPECT_EQ(status.sandbox_id, pod);
  ASSERT_TRUE(world.engine->StopPodSandbox({}, pod));
  ASSERT_TRUE(world.engine->RemovePodSandbox({}, pod));
  EXPECT_TRUE(world.runtime.Empty());
  EXPECT_TRUE(world.network.Empty());
  EXPECT_TRUE(world.records.Empty());
}

TEST(EngineSandbox, Rule34InfoIsJsonWithTheConfigAndTheCniResult) {
  World world;
  auto [pod, container] = world.Running();
  std::string info = (*world.engine->PodSandboxInfo(pod))["info"];
  EXPECT_NE(info.find("\"cniResult\":{\"cniVersion\""), std::string::npos) << info;
  EXPECT_NE(info.find("\"runtimeHandler\""), std::string::npos);
  info = (*world.engine->ContainerInfo(container))["info"];
  EXPECT_NE(info.find("\"runtimeSpec\":{"), std::string::npos) << info;
  EXPECT_NE(info.find("\"sandboxID\":\"" + pod), std::string::npos);
}

}  // namespace
}  // namespace berth::pod
