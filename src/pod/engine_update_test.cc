// SPDX-License-Identifier: Apache-2.0
// UpdateContainerResources and UpdatePodSandboxResources over fakes.
#include <gtest/gtest.h>

#include <thread>

#include "pod/cgroup_path.h"
#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

class EngineUpdate : public testing::Test {
 protected:
  // A container whose control group has these values; `running` or only created.
  void Make(bool running = true) {
    world_.host.MutableFacts().cgroup_v2 = false;
    pod_ = world_.Run().value_or("");
    ContainerConfig config = MinimalContainerConfig("app");
    config.resources = LinuxResources();
    config.resources->cpu_shares = 512;
    config.resources->memory_limit = 100 << 20;
    config.resources->oom_score_adj = 5;
    id_ = world_.engine->CreateContainer({}, pod_, config).value_or("");
    if (running) {
      EXPECT_TRUE(world_.engine->StartContainer({}, id_));
    }
    group_ = StrCat("/berth/", pod_, "/", id_);
    world_.host.SetCgroupFiles(group_, kOld);
  }
  Result<> Update(const LinuxResources& asked) {
    return world_.engine->UpdateContainerResources({}, id_, asked);
  }
  static LinuxResources Shares(int64_t shares) {
    LinuxResources asked;
    asked.cpu_shares = shares;
    return asked;
  }

  const runtime::Host::CgroupFiles kOld = {{"cpu.shares", "512"},
                                           {"cpu.cfs_quota_us", "-1"},
                                           {"cpu.cfs_period_us", "100000"},
                                           {"memory.limit_in_bytes", "104857600"},
                                           {"memory.memsw.limit_in_bytes", "104857600"}};
  World world_;
  std::string pod_, id_, group_;
};

TEST_F(EngineUpdate, ChangesTheGroupTheStatusAndTheStoredSpec) {
  for (bool running : {true, false}) {
    Make(running);
    LinuxResources asked = Shares(1024);
    asked.memory_limit = 200 << 20;
    Result<> updated = Update(asked);
    ASSERT_TRUE(updated) << updated.error().message();
    EXPECT_EQ(world_.runtime.Containers().at(id_).updates.at(0),
              R"({"cpu":{"shares":1024},"memory":{"limit":209715200,"swap":209715200}})");
    // The fake OCI runtime writes nothing, so all of it was left to be written.
    EXPECT_EQ(world_.host.FilesOf(group_).at("cpu.shares"), "1024");
    EXPECT_EQ(world_.host.FilesOf(group_).at("memory.memsw.limit_in_bytes"), "209715200");
    LinuxResources now = *world_.Status(id_).resources;
    EXPECT_EQ(now.cpu_shares, 1024);
    EXPECT_EQ(now.memory_limit, 200 << 20);
    EXPECT_EQ(now.oom_score_adj, 5);
    std::string info = world_.engine->ContainerInfo(id_)->at("info");
    EXPECT_NE(info.find(R"("shares":1024)"), std::string::npos) << info;
    ASSERT_TRUE(world_.engine->RemovePodSandbox({}, pod_));
  }
}

TEST_F(EngineUpdate, Rule24StatusTellsWhatTheGroupHasAlsoAfterARestart) {
  Make();
  ASSERT_TRUE(Update(Shares(1024)));
  ASSERT_TRUE(world_.Restart());
  EXPECT_EQ(world_.Status(id_).resources->cpu_shares, 1024);
  // Somebody else wrote there.
  auto files = world_.host.FilesOf(group_);
  files["cpu.shares"] = "77";
  files["cpu.cfs_quota_us"] = "25000";
  world_.host.SetCgroupFiles(group_, files);
  EXPECT_EQ(world_.Status(id_).resources->cpu_shares, 77);
  EXPECT_EQ(world_.Status(id_).resources->cpu_quota, 25000);
  // Without a group the last known values are told.
  world_.runtime.Exit(id_, 0);
  ASSERT_TRUE(world_.Becomes(id_, ContainerState::kExited));
  EXPECT_EQ(world_.Status(id_).resources->cpu_shares, 1024);
}

TEST_F(EngineUpdate, EveryFailureLeavesTheOldValues) {
  Make();
  LinuxResources asked = Shares(1024);
  asked.memory_limit = 200 << 20;
  asked.oom_score_adj = 100;
  int failed = 0;
  for (int n = 1; n < 20; ++n) {
    world_.FailNth(n);
    Result<> updated = Update(asked);
    bool fired = world_.fired();
    world_.Heal();
    if (!fired) {
      EXPECT_TRUE(updated);
      break;
    }
    ++failed;
    ASSERT_FALSE(updated) << n;
    ExpectError(updated.error(), Code::kInternal, "injected");
    EXPECT_EQ(world_.host.FilesOf(group_), kOld) << n;
    EXPECT_EQ(world_.Status(id_).resources->cpu_shares, 512) << n;
    auto scores = world_.host.OomScores();
    EXPECT_TRUE(scores.empty() || scores.at(group_) == 5) << n;
    ASSERT_TRUE(world_.Restart());
    EXPECT_EQ(world_.Status(id_).resources->oom_score_adj, 5) << n;
  }
  // Two reads, the OCI runtime, one write, the score, the record.
  EXPECT_EQ(failed, 6);
  EXPECT_EQ(world_.host.OomScores().at(group_), 100);
}

TEST_F(EngineUpdate, ARefusedFileIsPutBack) {
  Make();
  LinuxResources asked = Shares(1024);
  asked.memory_limit = 1 << 20;
  world_.host.RefuseCgroupFile("memory.limit_in_bytes", "Device or resource busy");
  Result<> updated = Update(asked);
  ASSERT_FALSE(updated);
  ExpectError(updated.error(), Code::kInternal, "memory.limit_in_bytes: Device or resource busy");
  EXPECT_EQ(world_.host.FilesOf(group_), kOld);
  EXPECT_EQ(world_.Status(id_).resources->memory_limit, 100 << 20);
}

TEST_F(EngineUpdate, TheSystemdDriverPutsBackTheUnitToo) {
  world_.config.systemd_cgroup = true;
  ASSERT_TRUE(world_.Restart());
  Make();
  group_ = StrCat("/system.slice/berth-", id_, ".scope");
  world_.host.SetCgroupFiles(group_, kOld);
  world_.host.RefuseCgroupFile("cpu.shares", "no");
  ASSERT_FALSE(Update(Shares(1024)));
  std::vector<std::string> updates = world_.runtime.Containers().at(id_).updates;
  ASSERT_EQ(updates.size(), 2U);
  EXPECT_EQ(updates[0], R"({"cpu":{"shares":1024}})");
  EXPECT_NE(updates[1].find(R"("shares":512)"), std::string::npos) << updates[1];
}

TEST_F(EngineUpdate, AQuotaWithoutALimitIsWrittenPastTheRuntime) {
  Make();
  world_.host.SetCgroupFiles(group_, {{"cpu.cfs_quota_us", "50000"}});
  LinuxResources asked;
  asked.cpu_quota = -1;
  ASSERT_TRUE(Update(asked));
  EXPECT_TRUE(world_.runtime.Containers().at(id_).updates.empty());
  EXPECT_EQ(world_.host.FilesOf(group_).at("cpu.cfs_quota_us"), "-1");
  EXPECT_EQ(world_.Status(id_).resources->cpu_quota, -1);
}

TEST_F(EngineUpdate, ARuntimeThatKeepsItsGroupsElsewhereIsTrusted) {
  Make();
  group_ = "/nowhere";
  ContainerConfig config = MinimalContainerConfig("vm");
  std::string vm = world_.engine->CreateContainer({}, pod_, config).value_or("");
  ASSERT_TRUE(world_.engine->UpdateContainerResources({}, vm, Shares(333)));
  EXPECT_EQ(world_.runtime.Containers().at(vm).updates.size(), 1U);
  EXPECT_EQ(world_.Status(vm).resources->cpu_shares, 333);
}

TEST_F(EngineUpdate, BadRequestsChangeNothing) {
  Make();
  auto refused = [&](auto change, Code code, std::string_view fragment) {
    LinuxResources asked;
    change(asked);
    Result<> updated = Update(asked);
    ASSERT_FALSE(updated) << fragment;
    ExpectError(updated.error(), code, fragment);
  };
  constexpr Code kBad = Code::kInvalidArgument;
  refused([](auto& r) { r.cpu_shares = -1; }, kBad, "cpu_shares is negative");
  refused([](auto& r) { r.cpu_period = 5; }, kBad, "cpu period 5 us is not from 1000");
  refused([](auto& r) { r.cpu_quota = 5; }, kBad, "cpu quota 5 us");
  refused([](auto& r) { r.memory_limit = -7; }, kBad, "memory limit -7");
  refused([](auto& r) { r.memory_swap_limit = 5; }, kBad, "is below the memory limit");
  refused([](auto& r) { r.oom_score_adj = 1001; }, kBad, "oom_score_adj 1001");
  refused([](auto& r) { r.cpuset_cpus = "3-1"; }, kBad, "range runs backwards");
  refused([](auto& r) { r.hugepage_limits["5XB"] = 1; }, kBad, "hugepage size \"5XB\"");
  refused([](auto& r) { r.unified["a/b"] = "1"; }, kBad, "unified resources need cgroup v2");
  world_.host.MutableFacts().cgroup_v2 = true;
  refused([](auto& r) { r.unified["memory.high/../x"] = "1"; }, kBad, "is not a controller's file");
  EXPECT_TRUE(world_.runtime.Containers().at(id_).updates.empty());
  EXPECT_EQ(world_.host.FilesOf(group_), kOld);
}

TEST_F(EngineUpdate, OnlyOfWhatWaitsOrRuns) {
  Make();
  ExpectError(world_.engine->UpdateContainerResources({}, "nosuch", {}).error(), Code::kNotFound,
              "nosuch");
  ExpectError(world_.engine->UpdateContainerResources({}, "", {}).error(), Code::kInvalidArgument,
              "update container");
  world_.runtime.Exit(id_, 0);
  ASSERT_TRUE(world_.Becomes(id_, ContainerState::kExited));
  ExpectError(Update(Shares(2)).error(), Code::kFailedPrecondition,
              "it is neither created nor running");
}

TEST_F(EngineUpdate, TwoUpdatesComeOneAfterTheOther) {
  Make();
  std::atomic<int> inside{0}, most{0};
  world_.OnCall([&](const std::string& name) {
    if (name != "runtime.Update") return;
    most = std::max(most.load(), ++inside);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    --inside;
  });
  std::thread other([&] { EXPECT_TRUE(Update(Shares(700))); });
  EXPECT_TRUE(Update(Shares(800)));
  other.join();
  EXPECT_EQ(most, 1);
  EXPECT_EQ(world_.runtime.CountCalls("Update"), 2U);
}

TEST_F(EngineUpdate, ThePodsResourcesAreKeptAndShown) {
  Make();
  LinuxResources resources = Shares(2048), overhead = Shares(10);
  ASSERT_TRUE(world_.engine->UpdatePodSandboxResources(pod_, overhead, resources));
  ASSERT_TRUE(world_.Restart());
  std::string info = world_.engine->PodSandboxInfo(pod_)->at("info");
  EXPECT_NE(info.find(R"("cpu_shares":2048)"), std::string::npos) << info;
  EXPECT_NE(info.find(R"("cpu_shares":10)"), std::string::npos) << info;
  auto update = [&](const std::string& id, const LinuxResources& asked) {
    return world_.engine->UpdatePodSandboxResources(id, std::nullopt, asked);
  };
  ExpectError(update("nosuch", {}).error(), Code::kNotFound, "nosuch");
  ExpectError(update(pod_, Shares(-1)).error(), Code::kInvalidArgument,
              "resources: cpu_shares is negative");
  ASSERT_TRUE(world_.engine->StopPodSandbox({}, pod_));
  ExpectError(update(pod_, {}).error(), Code::kFailedPrecondition, "it is not ready");
}

}  // namespace
}  // namespace berth::pod
