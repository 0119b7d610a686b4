// SPDX-License-Identifier: Apache-2.0
#include "os/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <string>

#include "base/strings.h"
#include "os/process.h"
#include "os/testing/leak_check.h"

namespace berth::os {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// Ordinary directories in the shape of /sys/fs/cgroup; files appear only where the test puts them.
class FixtureTest : public ::testing::Test {
 protected:
  TempDir temp_ = *TempDir::Make();
  const DirFd& dir_ = temp_.dir();

  void Put(const std::string& path, std::string_view text) {
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1))
      EXPECT_TRUE(dir_.MakeOrOpenDir(path.substr(0, slash), 0755));
    ASSERT_TRUE(dir_.WriteFile(path, text, 0644));
  }
  Cgroups Detect() { return *Cgroups::Detect(temp_.path()); }
};

TEST_F(FixtureTest, V2IsKnownByItsControllersFile) {
  ASSERT_TRUE(dir_.WriteFile("cgroup.controllers", "cpu memory\n", 0644));
  Cgroups cgroups = Detect();
  EXPECT_EQ(cgroups.mode(), CgroupMode::kV2);
  EXPECT_THAT(cgroups.hierarchies(), ElementsAre(""));
}

TEST_F(FixtureTest, RootGroupsFilesCanBeReadAndNotWritten) {
  ASSERT_TRUE(dir_.WriteFile("cgroup.controllers", "cpu memory\n", 0644));
  Cgroups v2 = Detect();
  EXPECT_EQ(*v2.Read("/", "", "cgroup.controllers"), "cpu memory\n");
  EXPECT_TRUE(v2.OpenFile("/", "memory", "cgroup.controllers"));
  Result<> written = v2.Write("/", "", "cgroup.controllers", "x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(v2.Read("/", "", "../x").error().code(), Code::kInvalidArgument);
}

TEST_F(FixtureTest, RootGroupOfOneHierarchy) {
  Put("memory/memory.memsw.limit_in_bytes", "9\n");
  Cgroups v1 = Detect();
  EXPECT_EQ(*v1.Read("/", "memory", "memory.memsw.limit_in_bytes"), "9\n");
  EXPECT_EQ(v1.Read("/", "hugetlb", "cgroup.procs").error().code(), Code::kNotFound);
}

TEST_F(FixtureTest, V1HierarchiesAreDirectoriesNotLinks) {
  for (const char* name : {"memory", "cpu,cpuacct", "systemd"})
    ASSERT_TRUE(dir_.MakeDir(name, 0755));
  ASSERT_EQ(::symlinkat("cpu,cpuacct", dir_.get(), "cpu"), 0);
  ASSERT_TRUE(dir_.WriteFile("stray", "", 0644));
  Cgroups cgroups = Detect();
  EXPECT_EQ(cgroups.mode(), CgroupMode::kV1);
  EXPECT_THAT(cgroups.hierarchies(), ElementsAre("cpu,cpuacct", "memory", "systemd"));
  Put("cpu,cpuacct/g/cpu.shares", "1024\n");
  EXPECT_EQ(*cgroups.Read("/g", "cpu", "cpu.shares"), "1024\n");
  EXPECT_EQ(*cgroups.Read("/g", "cpuacct", "cpu.shares"), "1024\n");
}

TEST_F(FixtureTest, HybridHasAUnifiedBesideAndLeavesItAlone) {
  Put("unified/cgroup.controllers", "");
  ASSERT_TRUE(dir_.MakeDir("pids", 0755));
  Cgroups cgroups = Detect();
  EXPECT_EQ(cgroups.mode(), CgroupMode::kHybrid);
  EXPECT_THAT(cgroups.hierarchies(), ElementsAre("pids"));
  ASSERT_TRUE(cgroups.Create("/a"));
  EXPECT_FALSE(*dir_.Exists("unified/a"));
}

TEST_F(FixtureTest, NothingMountedIsAFailedPrecondition) {
  Result<Cgroups> none = Cgroups::Detect(temp_.path());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(Cgroups::Detect(temp_.path() + "/no").error().code(), Code::kNotFound);
}

TEST_F(FixtureTest, CreateExistsAndRemoveOnEveryHierarchy) {
  LeakCheck leaks;
  for (const char* name : {"cpu", "memory"}) ASSERT_TRUE(dir_.MakeDir(name, 0755));
  Cgroups cgroups = Detect();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(cgroups.Create("/pods/one"));
  EXPECT_TRUE(*cgroups.Exists("/pods/one"));
  EXPECT_TRUE(*dir_.Exists("cpu/pods/one"));
  EXPECT_TRUE(*dir_.Exists("memory/pods/one"));
  ASSERT_TRUE(dir_.MakeDir("memory/pods/one/deeper", 0755));
  ASSERT_TRUE(dir_.MakeDir("memory/pods/one/deeper/still", 0755));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(cgroups.Remove("/pods"));
  EXPECT_FALSE(*cgroups.Exists("/pods"));
  EXPECT_TRUE(cgroups.Remove("/never/was"));
  {
    Cgroups dead = std::move(cgroups);
  }
  EXPECT_EQ(leaks.Diff(), "");
}

TEST_F(FixtureTest, FailedCreateTakesBackWhatItMade) {
  ASSERT_TRUE(dir_.MakeDir("cpu", 0755));
  ASSERT_TRUE(dir_.MakeDir("memory", 0755));
  ASSERT_TRUE(dir_.WriteFile("memory/a", "a file in the way", 0644));
  Result<> made = Detect().Create("/a/b");
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message(), HasSubstr("make cgroup /a/b in memory"));
  EXPECT_FALSE(*dir_.Exists("cpu/a"));
}

TEST_F(FixtureTest, NewCpusetGetsItsParentsCpusAndMems) {
  Put("cpuset/cpuset.cpus", "0-3\n");
  Put("cpuset/cpuset.mems", "0\n");
  Put("cpuset/g/cpuset.cpus", "\n");  // as the kernel shows it in a new group
  Put("cpuset/g/cpuset.mems", "1\n");
  ASSERT_TRUE(Detect().Create("/g"));
  EXPECT_EQ(*dir_.ReadFile("cpuset/g/cpuset.cpus", 100), "0-3");
  EXPECT_EQ(*dir_.ReadFile("cpuset/g/cpuset.mems", 100), "1\n");  // had a value: left alone
}

TEST_F(FixtureTest, V2EnablesTheMissingControllersOfTheParents) {
  Put("cgroup.controllers", "cpu\n");
  Put("cgroup.subtree_control", "");
  Put("pods/cgroup.controllers", "cpu memory\n");
  Put("pods/cgroup.subtree_control", "cpu\n");
  ASSERT_TRUE(Detect().Create("/pods/one"));
  EXPECT_EQ(*dir_.ReadFile("cgroup.subtree_control", 100), "+cpu");
  EXPECT_EQ(*dir_.ReadFile("pods/cgroup.subtree_control", 100), "+memory");
}

TEST_F(FixtureTest, ReadsWritesAndListsProcesses) {
  Put("cpu/g/cgroup.procs", "12\n0\n345\n");
  Put("cpu/g/cpu.shares", "1024\n");
  ASSERT_TRUE(dir_.MakeDir("blkio", 0755));  // sorted first, without the group
  Cgroups cgroups = Detect();
  EXPECT_THAT(*cgroups.Processes("/g"), ElementsAre(12, 345));
  ASSERT_TRUE(cgroups.Write("/g", "cpu", "cpu.shares", "2"));
  EXPECT_EQ(*cgroups.Read("/g", "cpu", "cpu.shares"), "2");
  EXPECT_EQ(cgroups.Read("/g", "cpu", "no").error().code(), Code::kNotFound);
  EXPECT_EQ(cgroups.Read("/g", "memory", "x").error().code(), Code::kNotFound);
  EXPECT_EQ(cgroups.Read("/g", "cpu", "../x").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(cgroups.Write("/g", "cpu", "no", "1").error().code(), Code::kNotFound);
  EXPECT_EQ(cgroups.Processes("/no").error().code(), Code::kNotFound);
  EXPECT_EQ(cgroups.Add("/no", 1).error().code(), Code::kNotFound);
  EXPECT_EQ(cgroups.Add("/g", 0).error().code(), Code::kInvalidArgument);
  Put("cpu/g/cgroup.procs", "12\nx\n");
  EXPECT_FALSE(cgroups.Processes("/g"));
}

TEST_F(FixtureTest, V2KillsByTheKernelsFile) {
  Put("cgroup.controllers", "");
  Put("g/cgroup.kill", "");
  ASSERT_TRUE(Detect().Kill("/g"));
  EXPECT_EQ(*dir_.ReadFile("g/cgroup.kill", 10), "1");
  EXPECT_TRUE(Detect().Kill("/gone"));
}

TEST(CgroupPathTest, OnlyPlainAbsolutePathsPass) {
  EXPECT_EQ(*Cgroups::CheckPath("/kubepods.slice/a:b"), "/kubepods.slice/a:b");
  EXPECT_TRUE(Cgroups::CheckPath("/" + std::string(255, 'a')));
  const std::string long_element = "/" + std::string(256, 'a');
  std::string long_path;
  for (int i = 0; i < 2048; ++i) long_path += "/a";
  for (std::string_view path :
       {std::string_view(""), std::string_view("/"), std::string_view("a"), std::string_view("//a"),
        std::string_view("/a/"), std::string_view("/a/../b"), std::string_view("/./a"),
        std::string_view("/a\0b", 4), std::string_view(long_element), std::string_view(long_path)})
    EXPECT_EQ(Cgroups::CheckPath(path).error().code(), Code::kInvalidArgument) << path;
}

TEST(ProcCgroupTest, ParsesEveryKindOfLine) {
  auto all = *ParseProcCgroup("9:name=systemd:/\n3:cpu,cpuacct:/a:b\n0::/c\n");
  EXPECT_THAT(all, UnorderedElementsAre(Pair("name=systemd", "/"), Pair("cpu", "/a:b"),
                                        Pair("cpuacct", "/a:b"), Pair("", "/c")));
  for (const char* line :
       {"x", "1:cpu", "1:cpu:a", "a:cpu:/", "1::/", "0:cpu:/", "1:cpu,:/", "1:cpu:/\n2:cpu:/"})
    EXPECT_FALSE(ParseProcCgroup(line)) << line;
  EXPECT_TRUE(ParseProcCgroup(*(*DirFd::OpenTrusted("/proc/self")).ReadFile("cgroup", 65536)));
}

// The machine's own cgroups, in a group of this test's.
class RealCgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "making cgroups needs root";
    Result<Cgroups> found = Cgroups::Detect("/sys/fs/cgroup");
    if (!found) GTEST_SKIP() << found.error().message();
    cgroups_.emplace(std::move(*found));
    Result<> made = cgroups_->Create(path_ + "/sub");
    if (!made) GTEST_SKIP() << made.error().message();
  }
  void TearDown() override {
    if (!cgroups_) return;
    EXPECT_TRUE(cgroups_->Kill(path_));
    EXPECT_TRUE(cgroups_->Remove(path_));
    EXPECT_FALSE(*cgroups_->Exists(path_));
    cgroups_.reset();
    EXPECT_EQ(leaks_.Diff(), "");
  }
  const std::string path_ = StrCat("/berth-os-test-", ::getpid());
  LeakCheck leaks_{LeakCheck::Scope{"", "/sys/fs/cgroup", path_}};
  std::optional<Cgroups> cgroups_;
};

TEST_F(RealCgroupTest, ProcessesAreAddedListedAndKilled) {
  Process parent = *Spawn({.path = "/bin/sh",
                           .args = {"sh", "-c", "trap '' TERM; sleep 600 & wait"},
                           .env = {"PATH=/bin:/usr/bin"},
                           .fds = {}});
  Process other = *Spawn({.path = "/bin/sleep", .args = {"sleep", "600"}, .env = {}, .fds = {}});
  ASSERT_TRUE(cgroups_->Add(path_ + "/sub", parent.pid()));
  Result<> added = cgroups_->Add(path_ + "/sub", other.pid());
  ASSERT_TRUE(added) << added.error().message();
  EXPECT_THAT(*cgroups_->Processes(path_ + "/sub"), Contains(parent.pid()));
  EXPECT_THAT(*cgroups_->Processes(path_), IsEmpty());
  Result<> busy = cgroups_->Remove(path_);
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code(), Code::kFailedPrecondition);
  Result<> killed = cgroups_->Kill(path_);
  ASSERT_TRUE(killed) << killed.error().message();
  EXPECT_EQ((*parent.Wait(std::chrono::seconds(10)))->signal, SIGKILL);
  EXPECT_EQ((*other.Wait(std::chrono::seconds(10)))->signal, SIGKILL);
}

TEST_F(RealCgroupTest, FrozenProcessesAreKilledToo) {
  if (cgroups_->mode() == CgroupMode::kV2) GTEST_SKIP() << "cgroup.kill does it";
  Process process = *Spawn({.path = "/bin/sleep", .args = {"sleep", "600"}, .env = {}, .fds = {}});
  ASSERT_TRUE(cgroups_->Add(path_, process.pid()));
  Result<> frozen = cgroups_->Write(path_, "freezer", "freezer.state", "FROZEN");
  if (!frozen) GTEST_SKIP() << frozen.error().message();
  ASSERT_TRUE(cgroups_->Kill(path_));
  EXPECT_EQ((*process.Wait(std::chrono::seconds(10)))->signal, SIGKILL);
}

TEST_F(RealCgroupTest, AProcessThatIsGoneIsNotFound) {
  pid_t gone;
  {
    Process p = *Spawn({.path = "/bin/true", .args = {"true"}, .env = {}, .fds = {}});
    gone = p.pid();
  }
  EXPECT_EQ(cgroups_->Add(path_, gone).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace berth::os
