// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::os {
namespace {

using ::testing::HasSubstr;

class RemoveTreeTest : public ::testing::Test {
 protected:
  TempDir temp_ = *TempDir::Make();
  const DirFd& dir_ = temp_.dir();

  size_t CountFds() { return DirFd::OpenTrusted("/proc/self/fd")->List()->size(); }
};

TEST_F(RemoveTreeTest, RemovesFilesDirectoriesAndLinksButNotTheirTargets) {
  ASSERT_TRUE(dir_.MakeDir("kept", 0700));
  ASSERT_TRUE(dir_.WriteFile("kept/file", "x", 0600));
  ASSERT_TRUE(dir_.MakeDir("t", 0700));
  ASSERT_TRUE(dir_.MakeDir("t/sub", 0700));
  ASSERT_TRUE(dir_.WriteFile("t/sub/file", "x", 0600));
  ASSERT_EQ(::symlinkat("../kept", dir_.get(), "t/link"), 0);
  ASSERT_EQ(::mkfifoat(dir_.get(), "t/fifo", 0600), 0);
  ASSERT_TRUE(dir_.RemoveTree("t"));
  EXPECT_FALSE(*dir_.Exists("t"));
  EXPECT_TRUE(*dir_.Exists("kept/file"));
}

TEST_F(RemoveTreeTest, TakesFilesLinksAndNothingToo) {
  ASSERT_TRUE(dir_.WriteFile("f", "x", 0600));
  ASSERT_EQ(::symlinkat("f", dir_.get(), "l"), 0);
  EXPECT_TRUE(dir_.RemoveTree("l"));
  EXPECT_TRUE(*dir_.Exists("f"));
  EXPECT_TRUE(dir_.RemoveTree("f"));
  EXPECT_TRUE(dir_.RemoveTree("f"));
  EXPECT_TRUE(dir_.RemoveTree("no/where"));
}

TEST_F(RemoveTreeTest, OneTreeIsRemovedByTwoAtOnce) {
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(dir_.MakeDir("t", 0700));
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(dir_.MakeDir(StrCat("t/", i), 0700));
      ASSERT_TRUE(dir_.WriteFile(StrCat("t/", i, "/file"), "x", 0600));
    }
    Result<> other;
    std::thread beside([&] { other = dir_.RemoveTree("t"); });
    Result<> own = dir_.RemoveTree("t");
    beside.join();
    EXPECT_TRUE(own) << own.error().message();
    EXPECT_TRUE(other) << other.error().message();
    EXPECT_FALSE(*dir_.Exists("t"));
  }
}

TEST_F(RemoveTreeTest, ThousandsOfLevelsNeedFewDescriptors) {
  constexpr int kLevels = 5000;
  Fd at = *dir_.Open(".", O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < kLevels; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
    Fd beside(::openat(at.get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    at = Fd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at.valid());
  }
  at.Reset();
  const size_t before = CountFds();
  Fd highest = *dir_.Open(".", O_RDONLY);
  // A thread looks while the tree goes away.
  Result<> removed;
  std::thread remover([&] { removed = dir_.RemoveTree("d"); });
  size_t most = 0;
  while (*dir_.Exists("d")) most = std::max(most, CountFds());
  remover.join();
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_LT(most, before + 60);
  highest.Reset();
  EXPECT_EQ(CountFds(), before);
}

TEST_F(RemoveTreeTest, WideTreesAreReadInPortions) {
  DirFd wide = *dir_.MakeDir("wide", 0700);
  for (int i = 0; i < 300; ++i) {
    DirFd sub = *wide.MakeDir(StrCat("d", i), 0700);
    ASSERT_EQ(::mkdirat(sub.get(), "x", 0700), 0);
    ASSERT_EQ(::mkdirat(sub.get(), "y", 0700), 0);
    ASSERT_EQ(::mkdirat(sub.get(), "x/z", 0700), 0);
  }
  ASSERT_TRUE(dir_.RemoveTree("wide"));
  EXPECT_FALSE(*dir_.Exists("wide"));
}

// Runs `work` without root's power over modes: file-system capabilities go with fsuid, of this
// thread only.
TEST_F(RemoveTreeTest, DirectoriesWithoutAnyPermissionAreRemovedByTheirOwner) {
  constexpr uid_t kNobody = 65534;
  ASSERT_TRUE(dir_.MakeDir("t", 0700));
  ASSERT_TRUE(dir_.MakeDir("t/locked", 0700));
  ASSERT_TRUE(dir_.MakeDir("t/locked/in", 0700));
  ASSERT_TRUE(dir_.WriteFile("t/locked/in/file", "x", 0600));
  for (const char* name : {"t/locked/in", "t/locked", "t", "."}) {
    const bool own = ::geteuid() != 0 || ::fchownat(dir_.get(), name, kNobody, kNobody, 0) == 0;
    ASSERT_TRUE(own && (std::string_view(name) == "." || ::fchmodat(dir_.get(), name, 0, 0) == 0));
  }
  Result<> removed;
  std::thread owner([&] {
    if (::geteuid() == 0) (void)!::syscall(SYS_setresuid, kNobody, kNobody, -1);
    removed = dir_.RemoveTree("t");
  });
  owner.join();
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_FALSE(*dir_.Exists("t"));
}

TEST_F(RemoveTreeTest, AMountIsNeitherEnteredNorRemoved) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  ASSERT_TRUE(dir_.MakeDir("t", 0700));
  ASSERT_TRUE(dir_.MakeDir("t/mnt", 0700));
  std::string problem, top_problem;
  bool kept = false;
  std::thread inside([&] {
    const std::string path = temp_.path() + "/t/mnt";
    if (::unshare(CLONE_FS | CLONE_NEWNS) != 0 ||
        ::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", path.c_str(), "tmpfs", 0, nullptr) != 0) {
      problem = "cannot mount";
      return;
    }
    // dir_ was opened in the other namespace; mounts of this one are only below a name looked up
    // here.
    DirFd here = *DirFd::OpenTrusted(temp_.path());
    (void)here.WriteFile("t/mnt/file", "x", 0600);
    Result<> removed = here.RemoveTree("t");
    problem = removed ? "removed" : removed.error().message();
    removed = here.RemoveTree("t/mnt");
    top_problem = removed ? "removed" : removed.error().message();
    kept = *here.Exists("t/mnt/file");
    ::umount2(path.c_str(), MNT_DETACH);
  });
  inside.join();
  if (problem == "cannot mount") GTEST_SKIP() << problem;
  EXPECT_THAT(problem, HasSubstr("busy"));
  EXPECT_THAT(top_problem, HasSubstr("is a mount point"));
  EXPECT_TRUE(kept);
}

}  // namespace
}  // namespace berth::os
