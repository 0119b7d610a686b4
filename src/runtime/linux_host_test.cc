// SPDX-License-Identifier: Apache-2.0
#include "runtime/linux_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/strings.h"
#include "os/testing/leak_check.h"
#include "os/testing/private_mounts.h"

namespace berth::runtime {
namespace {

using ::testing::HasSubstr;

class LinuxHostTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<LinuxHost>> host = LinuxHost::Open({});
    if (!host) GTEST_SKIP() << host.error().message();
    host_ = std::move(*host);
  }
  os::TempDir temp_ = std::move(*os::TempDir::Make());
  std::unique_ptr<LinuxHost> host_;
};

TEST_F(LinuxHostTest, FactsAreOfThisKernel) {
  EXPECT_EQ(host_->Facts().boot_id.size(), 36U);
  if (::geteuid() == 0) {
    EXPECT_THAT(host_->Facts().capabilities, ::testing::Contains("CAP_CHOWN"));
  }
  EXPECT_TRUE(host_->Facts().has_seccomp);
  if (!host_->Facts().cgroup_v2) {
    EXPECT_EQ(host_->Facts().has_swap_limit,
              ::access("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", F_OK) == 0);
  }
  EXPECT_GE(host_->Facts().oom_score_adj_floor, -1000);
}

// A cgroup2 in the shape of ordinary directories: what a scope's limits are, and where.
TEST(LinuxHostCgroups, LimitsOfAScopeAreInTheGroupThatCrunMakesInIt) {
  os::TempDir temp = *os::TempDir::Make();
  ASSERT_TRUE(temp.dir().WriteFile("cgroup.controllers", "cpu memory\n", 0644));
  for (const char* group : {"s.slice", "s.slice/crun.scope", "s.slice/crun.scope/container",
                            "s.slice/runc.scope", "s.slice/pod", "s.slice/pod/container"}) {
    ASSERT_TRUE(temp.dir().MakeDir(group, 0755));
    ASSERT_TRUE(temp.dir().WriteFile(StrCat(group, "/memory.max"), StrCat(group, "\n"), 0644));
  }
  LinuxHostOptions options;
  options.cgroup_root = temp.path();
  Result<std::unique_ptr<LinuxHost>> host = LinuxHost::Open(std::move(options));
  ASSERT_TRUE(host) << host.error().message();
  auto max = [&](const std::string& path) {
    return (*host)->ReadCgroup(path, {"memory.max"})->at("memory.max");
  };
  EXPECT_EQ(max("/s.slice/crun.scope"), "s.slice/crun.scope/container");
  EXPECT_EQ(max("/s.slice/runc.scope"), "s.slice/runc.scope");
  EXPECT_EQ(max("/s.slice/pod"),
            "s.slice/pod");  // no scope: what is inside is the pod's own affair
  ASSERT_TRUE((*host)->WriteCgroup("/s.slice/crun.scope", {{"memory.max", "1"}}));
  EXPECT_EQ(*temp.dir().ReadFile("s.slice/crun.scope/container/memory.max", 100), "1");
  EXPECT_EQ(max("/s.slice"), "s.slice");
}

TEST_F(LinuxHostTest, MountSourceIsResolvedAndMadeWhenMissing) {
  const std::string dir = temp_.path();
  ASSERT_EQ(::mkdir(StrCat(dir, "/real").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("real", StrCat(dir, "/link").c_str()), 0);
  ASSERT_EQ(::symlink("nothing", StrCat(dir, "/dangling").c_str()), 0);
  EXPECT_EQ(*host_->ResolveMountSource(StrCat(dir, "/link")), StrCat(dir, "/real"));
  EXPECT_EQ(*host_->ResolveMountSource(StrCat(dir, "/link/new/deep")),
            StrCat(dir, "/real/new/deep"));
  struct stat st{};
  ASSERT_EQ(::stat(StrCat(dir, "/real/new").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0755U);
  EXPECT_EQ(host_->ResolveMountSource(StrCat(dir, "/dangling")).error().code(), Code::kNotFound);
  EXPECT_EQ(host_->ResolveMountSource("relative").error().code(), Code::kInvalidArgument);
}

TEST_F(LinuxHostTest, PropagationOfAMount) {
  const std::string skip = os::InPrivateMounts([&] {
    const std::string dir = temp_.path();
    ASSERT_EQ(::mount("t", dir.c_str(), "tmpfs", 0, nullptr), 0);
    EXPECT_EQ(*host_->MountPropagation(dir), "private");
    ASSERT_EQ(::mount(nullptr, dir.c_str(), nullptr, MS_SHARED, nullptr), 0);
    EXPECT_EQ(*host_->MountPropagation(dir), "shared");
    ASSERT_EQ(::mkdir(StrCat(dir, "/b").c_str(), 0700), 0);
    EXPECT_EQ(*host_->MountPropagation(StrCat(dir, "/b")), "shared")
        << "of the mount that holds it";
    ASSERT_EQ(::umount2(dir.c_str(), MNT_DETACH), 0);
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

TEST(Mountinfo, PropagationFollowsTheOptionalFields) {
  const std::string text =
      "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw\n2 1 8:1 / /a rw master:1 - ext4 /dev/a rw\n"
      "3 1 8:1 / /b rw shared:2 master:1 - ext4 /dev/a rw\n4 1 8:1 / /c rw - ext4 /dev/a rw\n";
  EXPECT_EQ(*PropagationOfMount(text, 1), "shared");
  EXPECT_EQ(*PropagationOfMount(text, 2), "slave");
  EXPECT_EQ(*PropagationOfMount(text, 3), "shared");
  EXPECT_EQ(*PropagationOfMount(text, 4), "private");
  EXPECT_EQ(PropagationOfMount(text, 5).error().code(), Code::kNotFound);
  EXPECT_EQ(PropagationOfMount("1 0 8:1 / / rw\n", 1).error().code(), Code::kInvalidArgument);
}

TEST_F(LinuxHostTest, DevicesByNameAndByDirectory) {
  const os::LeakCheck leaks;
  const std::vector<HostDevice> null = std::move(*host_->Devices("/dev/null"));
  ASSERT_EQ(null.size(), 1U);
  EXPECT_EQ(null[0].major, 1);
  EXPECT_EQ(null[0].minor, 3);
  EXPECT_EQ(null[0].type, 'c');
  ASSERT_EQ(::mkfifo(StrCat(temp_.path(), "/fifo").c_str(), 0640), 0);
  ASSERT_TRUE(temp_.dir().WriteFile("plain", "x", 0600));
  const std::vector<HostDevice> below = std::move(*host_->Devices(temp_.path() + "/"));
  ASSERT_EQ(below.size(), 1U);
  EXPECT_EQ(below[0].path, StrCat(temp_.path(), "/fifo"));
  EXPECT_EQ(below[0].type, 'p');
  Result<std::vector<HostDevice>> missing = host_->Devices("/dev/no-such-device");
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_THAT(missing.error().message(), HasSubstr("/dev/no-such-device"));
  EXPECT_EQ(host_->Devices(StrCat(temp_.path(), "/plain")).error().code(), Code::kInvalidArgument);
  const std::vector<HostDevice> all = std::move(*host_->AllDevices());
  EXPECT_TRUE(std::ranges::any_of(all, [](const auto& d) { return d.path == "/dev/null"; }));
  EXPECT_FALSE(
      std::ranges::any_of(all, [](const auto& d) { return d.path.starts_with("/dev/pts"); }));
  EXPECT_EQ(leaks.Diff(), "");
}

TEST_F(LinuxHostTest, ProfileIsARegularFileOfBoundedSize) {
  ASSERT_TRUE(temp_.dir().WriteFile("p.json", "{}", 0600));
  EXPECT_EQ(*host_->ReadSeccompProfile(StrCat(temp_.path(), "/p.json")), "{}");
  ASSERT_EQ(::mkfifo(StrCat(temp_.path(), "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(host_->ReadSeccompProfile(StrCat(temp_.path(), "/fifo")).error().code(),
            Code::kFailedPrecondition);
  ASSERT_TRUE(temp_.dir().WriteFile("big", std::string((4U << 20) + 1, ' '), 0600));
  EXPECT_EQ(host_->ReadSeccompProfile(StrCat(temp_.path(), "/big")).error().code(),
            Code::kResourceExhausted);
  EXPECT_EQ(host_->ReadSeccompProfile("p.json").error().code(), Code::kInvalidArgument);
}

TEST_F(LinuxHostTest, CgroupTakesItsEmptyParentAlongButNoSibling) {
  const std::string parent = StrCat("/berth-test-", ::getpid());
  const std::string one = parent + "/one";
  const std::string two = parent + "/two";
  Result<> made = host_->CreateCgroup(one);
  if (!made) GTEST_SKIP() << made.error().message();
  EXPECT_TRUE(host_->CreateCgroup(one)) << "idempotent";
  EXPECT_TRUE(host_->CreateCgroup(two));
  EXPECT_TRUE(host_->RemoveCgroup(one, Host::Parent::kOurs));
  const os::Cgroups groups = std::move(*os::Cgroups::Detect("/sys/fs/cgroup"));
  EXPECT_FALSE(*groups.Exists(one));
  EXPECT_TRUE(*groups.Exists(two));
  EXPECT_TRUE(host_->RemoveCgroup(two, Host::Parent::kOfOthers));
  EXPECT_FALSE(*groups.Exists(two));
  EXPECT_TRUE(*groups.Exists(parent)) << "the last one went, but the group above is another's";
  EXPECT_TRUE(host_->RemoveCgroup(two, Host::Parent::kOurs)) << "not there";
  EXPECT_FALSE(*groups.Exists(parent));
  EXPECT_EQ(host_->CreateCgroup("/a/../b").error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace berth::runtime
