// SPDX-License-Identifier: Apache-2.0
// Statistics through the engine, over fakes.
#include "pod/stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "pod/cgroup_path.h"
#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

os::CgroupUsage Group(uint64_t cpu_ns, uint64_t memory, uint64_t tasks = 1) {
  os::CgroupUsage usage;
  usage.cpu.emplace().usage_ns = cpu_ns;
  usage.memory.emplace().usage = memory;
  usage.memory->working_set = memory / 2;
  usage.tasks = tasks;
  usage.pids = {1, 2};
  return usage;
}

class StatsTest : public ::testing::Test {
 protected:
  std::string Start(const std::string& pod, const std::string& name) {
    const std::string id = world_.Create(pod, name).value_or("");
    EXPECT_TRUE(world_.engine->StartContainer({}, id));
    return id;
  }
  std::string PathOf(const std::string& pod, const std::string& container) {
    return StrCat("/berth/", pod, "/", container);
  }
  World world_;
};

TEST_F(StatsTest, OfAContainerThatRuns) {
  const auto [pod, id] = world_.Running();
  world_.stats.SetGroup(PathOf(pod, id), Group(2'000'000'000, 4096));
  auto stats = world_.engine->GetContainerStats(id.substr(0, 12));
  ASSERT_TRUE(stats) << stats.error().message();
  EXPECT_EQ(stats->id, id);
  EXPECT_EQ(stats->metadata.name, "app");
  EXPECT_EQ(stats->usage->group.cpu->usage_ns, 2'000'000'000U);
  EXPECT_EQ(stats->usage->timestamp, world_.clock.WallNanos());
  EXPECT_FALSE(stats->usage->nano_cores);
  EXPECT_EQ(stats->files->used_bytes, 4096U);
  world_.clock.Advance(std::chrono::seconds(10));
  world_.stats.SetGroup(PathOf(pod, id), Group(7'000'000'000, 4096));
  EXPECT_EQ(world_.engine->GetContainerStats(id)->usage->nano_cores, 500'000'000U);
}

// Rule 2.
TEST_F(StatsTest, AnUnknownIdIsNotFoundAndAnEmptyOneInvalid) {
  auto stats = world_.engine->GetContainerStats("nope");
  ASSERT_FALSE(stats);
  ExpectError(stats.error(), Code::kNotFound, "statistics: container \"nope\" not found");
  ExpectError(world_.engine->GetContainerStats("").error(), Code::kInvalidArgument,
              "container id is empty");
  ExpectError(world_.engine->PodSandboxStats("nope").error(), Code::kNotFound,
              "statistics: pod sandbox \"nope\" not found");
}

// What the kubelet takes for running is running.
TEST_F(StatsTest, ListsHoldOnlyWhatRunsAndASingleOneIsToldWithoutFigures) {
  const std::string pod = *world_.Run();
  const std::string created = *world_.Create(pod, "created");
  const std::string running = Start(pod, "running");
  const std::string exited = Start(pod, "exited");
  for (const std::string& id : {running, exited})
    world_.stats.SetGroup(PathOf(pod, id), Group(1, 1));
  ASSERT_EQ(world_.engine->ListContainerStats({}).size(), 2U);
  EXPECT_EQ(world_.stats.Open().size(), 2U);
  world_.runtime.Exit(exited, 0);
  ASSERT_TRUE(world_.Becomes(exited, ContainerState::kExited));
  auto list = world_.engine->ListContainerStats({});
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].id, running);
  for (const std::string& id : {created, exited}) {
    auto one = world_.engine->GetContainerStats(id);
    ASSERT_TRUE(one) << one.error().message();
    EXPECT_FALSE(one->usage);
    EXPECT_TRUE(one->files);
  }
}

TEST_F(StatsTest, DescriptorsAreLetGoWithTheContainerAndThePod) {
  const auto [pod, id] = world_.Running();
  world_.stats.SetGroup(PathOf(pod, id), Group(1, 1));
  world_.stats.SetGroup(StrCat("/berth/", pod), Group(1, 1));
  EXPECT_THAT(world_.stats.Open(), IsEmpty());
  ASSERT_EQ(world_.engine->ListPodSandboxStats({}).size(), 1U);
  EXPECT_THAT(world_.stats.Open(), ElementsAre(StrCat("/berth/", pod), PathOf(pod, id)));
  // Asked again, nothing more is kept.
  world_.engine->ListPodSandboxStats({});
  EXPECT_EQ(world_.stats.Meters(), 2);
  world_.runtime.Exit(id, 1);
  ASSERT_TRUE(world_.Becomes(id, ContainerState::kExited));
  EXPECT_TRUE(world_.Eventually([&] { return world_.stats.Meters() == 1; }));
  ASSERT_TRUE(world_.engine->StopPodSandbox({}, pod));
  EXPECT_EQ(world_.stats.Meters(), 0);
  EXPECT_FALSE(world_.engine->PodSandboxStats(pod)->usage);
  EXPECT_THAT(world_.engine->ListPodSandboxStats({}), IsEmpty());
  EXPECT_EQ(world_.stats.Meters(), 0);
}

TEST_F(StatsTest, OneThatCannotBeReadDoesNotCostTheOthers) {
  const std::string pod = *world_.Run();
  const std::string good = Start(pod, "good");
  const std::string bad = Start(pod, "bad");
  const std::string ending = Start(pod, "ending");  // its group is gone already
  for (const std::string& id : {good, bad}) world_.stats.SetGroup(PathOf(pod, id), Group(1, 1));
  world_.stats.SetHook([&](std::string_view call, std::string_view what) -> Result<> {
    if (call == "Read" && what == PathOf(pod, bad)) return Error(Code::kInternal, "injected");
    return Ok();
  });
  auto list = world_.engine->ListContainerStats({});
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].id, good);
  ExpectError(world_.engine->GetContainerStats(bad).error(), Code::kInternal,
              StrCat("statistics of container ", bad, ": injected"));
  EXPECT_FALSE(world_.engine->GetContainerStats(ending)->usage);
}

// Rule 3.
TEST_F(StatsTest, FiltersAreAndedAndTakePrefixes) {
  const std::string web = *world_.Run("web");
  const std::string db = *world_.Run("db");
  const std::string a = Start(web, "a");
  const std::string b = Start(db, "b");
  world_.stats.SetGroup(PathOf(web, a), Group(1, 1));
  world_.stats.SetGroup(PathOf(db, b), Group(1, 1));
  auto ids = [&](const std::string& id, const std::string& sandbox_id, const StringMap& labels) {
    ContainerFilter filter;
    filter.id = id;
    filter.sandbox_id = sandbox_id;
    filter.labels = labels;
    std::vector<std::string> out;
    for (const ContainerStats& stats : world_.engine->ListContainerStats(filter))
      out.push_back(stats.id);
    return out;
  };
  EXPECT_THAT(ids(a.substr(0, 20), "", {}), ElementsAre(a));
  EXPECT_THAT(ids("", db.substr(0, 20), {}), ElementsAre(b));
  EXPECT_THAT(ids(a, db, {}), IsEmpty());
  EXPECT_THAT(ids("nope", "", {}), IsEmpty());
  EXPECT_THAT(ids("", "", {{"no", "such"}}), IsEmpty());
  auto pods = [&](const std::string& id, const StringMap& labels) {
    SandboxFilter filter;
    filter.id = id;
    filter.labels = labels;
    return world_.engine->ListPodSandboxStats(filter).size();
  };
  EXPECT_EQ(pods("nope", {}), 0U);
  EXPECT_EQ(pods(web, {}), 1U);
  EXPECT_EQ(pods("", {{"no", "such"}}), 0U);
}

TEST_F(StatsTest, APodHasItsOwnGroupItsNetworkAndItsContainers) {
  const auto [pod, id] = world_.Running();
  world_.stats.SetGroup(PathOf(pod, id), Group(1'000, 10));
  world_.stats.SetGroup(StrCat("/berth/", pod), Group(5'000, 70, 9));
  world_.stats.SetNetwork(pod, {{.name = "eth0", .rx_bytes = 3, .tx_bytes = 4}});
  auto stats = world_.engine->PodSandboxStats(pod);
  ASSERT_TRUE(stats) << stats.error().message();
  EXPECT_EQ(stats->metadata.name, "web");
  EXPECT_EQ(stats->usage->group.cpu->usage_ns, 5'000U);
  EXPECT_EQ(stats->usage->group.tasks, 9U);
  ASSERT_EQ(stats->containers.size(), 1U);
  EXPECT_EQ(stats->containers[0].usage->group.cpu->usage_ns, 1'000U);
  ASSERT_EQ(stats->network->interfaces.size(), 1U);
  EXPECT_EQ(stats->network->interfaces[0].tx_bytes, 4U);
}

TEST_F(StatsTest, PodsThatShareAGroupAreTheSumOfTheirContainers) {
  SandboxConfig config = MinimalSandboxConfig("one");
  config.cgroup_parent = "/shared";
  const std::string one = *world_.engine->RunPodSandbox({}, config, "");
  world_.stats.SetGroup("/shared", Group(9'000'000, 900));
  // Alone in it, the pod is its group.
  EXPECT_EQ(world_.engine->PodSandboxStats(one)->usage->group.memory->usage, 900U);
  config.metadata.name = "two";
  ASSERT_TRUE(world_.engine->RunPodSandbox({}, config, ""));
  const std::string a = Start(one, "a");
  const std::string b = Start(one, "b");
  world_.stats.SetGroup(StrCat("/shared/", a), Group(1'000, 10));
  world_.stats.SetGroup(StrCat("/shared/", b), Group(2'000, 30));
  auto stats = world_.engine->PodSandboxStats(one);
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->usage->group.cpu->usage_ns, 3'000U);
  EXPECT_EQ(stats->usage->group.memory->usage, 40U);
  EXPECT_EQ(stats->usage->group.memory->working_set, 20U);
  EXPECT_EQ(stats->usage->group.tasks, 2U);
}

TEST_F(StatsTest, WithTheHostsNetworkThereAreNoInterfaces) {
  SandboxConfig config = MinimalSandboxConfig("host");
  config.security.namespaces.network = NamespaceMode::kNode;
  const std::string pod = *world_.engine->RunPodSandbox({}, config, "");
  world_.stats.SetNetwork(pod, {{.name = "eth0"}});
  EXPECT_FALSE(world_.engine->PodSandboxStats(pod)->network);
}

TEST_F(StatsTest, AllNetworksAreReadAtOnce) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(world_.Run(StrCat("pod", i)));
  world_.engine->ListPodSandboxStats({});
  EXPECT_THAT(world_.stats.Calls(), ::testing::Contains("ReadNetworks 5").Times(1));
  world_.engine->ListPodSandboxMetrics();
  EXPECT_THAT(world_.stats.Calls(), ::testing::Contains("ReadNetworks 5").Times(2));
}

// However many there are: one more list opens nothing, asks for all networks at once and for all files at once.
TEST_F(StatsTest, AThousandContainersAreListedAgainWithoutOpeningAnything) {
  constexpr size_t kPods = 1000;
  for (size_t i = 0; i < kPods; ++i) {
    const std::string pod = world_.Run(StrCat("pod", i)).value_or("");
    world_.stats.SetGroup(PathOf(pod, Start(pod, "app")), Group(1, 1));
    world_.stats.SetGroup(StrCat("/berth/", pod), Group(1, 1));
  }
  auto calls_of = [&](const auto& list) {
    const size_t stats = world_.stats.Calls().size();
    const size_t images = world_.images.calls().size();
    EXPECT_EQ(list(), kPods);
    std::map<std::string, size_t> counted;
    auto count = [&](const std::vector<std::string>& calls, size_t from) {
      for (size_t i = from; i < calls.size(); ++i)
        ++counted[calls[i].substr(0, calls[i].find(' '))];
    };
    count(world_.stats.Calls(), stats);
    count(world_.images.calls(), images);
    return counted;
  };
  auto containers = [&] { return world_.engine->ListContainerStats({}).size(); };
  auto pods = [&] { return world_.engine->ListPodSandboxStats({}).size(); };
  using Counted = std::map<std::string, size_t>;
  EXPECT_EQ(calls_of(containers), (Counted{{"Read", kPods}, {"Open", kPods}, {"RootfsUsages", 1}}));
  EXPECT_EQ(calls_of(containers), (Counted{{"Read", kPods}, {"RootfsUsages", 1}}));
  EXPECT_EQ(
      calls_of(pods),
      (Counted{{"Read", 2 * kPods}, {"Open", kPods}, {"RootfsUsages", 1}, {"ReadNetworks", 1}}));
  EXPECT_EQ(calls_of(pods),
            (Counted{{"Read", 2 * kPods}, {"RootfsUsages", 1}, {"ReadNetworks", 1}}));
  EXPECT_EQ(world_.stats.Meters(), static_cast<int>(2 * kPods));
}

TEST_F(StatsTest, AListOfOnePodReadsNothingOfOthers) {
  const auto [pod, id] = world_.Running();
  const std::string other = *world_.Run("other");
  world_.stats.SetGroup(PathOf(pod, id), Group(1, 1));
  world_.stats.SetGroup(PathOf(other, Start(other, "app")), Group(1, 1));
  world_.stats.SetGroup(StrCat("/berth/", pod), Group(1, 1));
  SandboxFilter filter;
  filter.id = pod;
  ASSERT_EQ(world_.engine->ListPodSandboxStats(filter).size(), 1U);
  EXPECT_THAT(world_.stats.Open(), ElementsAre(StrCat("/berth/", pod), PathOf(pod, id)));
}

TEST(SumUsage, ARateNeedsAllRates) {
  std::vector<ContainerStats> containers(2);
  EXPECT_FALSE(SumUsage(containers));
  containers[0].usage.emplace().nano_cores = 5;
  containers[1].usage.emplace();
  EXPECT_FALSE(SumUsage(containers)->nano_cores);
  containers[1].usage->nano_cores = 6;
  EXPECT_EQ(SumUsage(containers)->nano_cores, 11U);
}

TEST(CgroupOf, PathsAndSlices) {
  EXPECT_EQ(CgroupOf("/kubepods/pod1/abc", false), "/kubepods/pod1/abc");
  EXPECT_EQ(CgroupOf("kubepods-burstable-pod1.slice:berth:abc", true),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/"
            "berth-abc.scope");
  EXPECT_EQ(CgroupOf("kubepods-pod1.slice", true), "/kubepods.slice/kubepods-pod1.slice");
  EXPECT_EQ(CgroupOf("system.slice", true), "/system.slice");
  EXPECT_EQ(CgroupOf("-.slice:berth:abc", true), "/berth-abc.scope");
}

}  // namespace
}  // namespace berth::pod
