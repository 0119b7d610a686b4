// SPDX-License-Identifier: Apache-2.0
#include "os/mount.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "base/strings.h"
#include "os/detached_overlay.h"
#include "os/mount_internal.h"
#include "os/testing/leak_check.h"
#include "os/testing/private_mounts.h"

#define IN_PRIVATE_MOUNTS(body) \
  if (std::string why = InPrivateMounts(body); !why.empty()) GTEST_SKIP() << why

namespace berth::os {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::vector<MountInfo> MountsNow() {
  DirFd self = *DirFd::OpenTrusted("/proc/thread-self");
  return *ParseMountInfo(*self.ReadFile("mountinfo", 10U << 20));
}
size_t MountsAt(const std::string& path) {
  const auto all = MountsNow();
  return static_cast<size_t>(std::count_if(
      all.begin(), all.end(), [&](const MountInfo& m) { return m.mount_point == path; }));
}

// A tmpfs with the layers l0 .. l(n-1), each holding file l<i>, and "same", and diff, work,
// target.
struct Layers {
  explicit Layers(const std::string& path, size_t count) {
    Mount fs = *Mount::Tmpfs("8m", "0755", 0);
    DirFd parent = *DirFd::OpenTrusted(path);
    attached = *AttachedMount::Attach(std::move(fs), *parent.OpenDir("."), "fs");
    dir = *parent.OpenDir("fs");
    for (const char* name : {"diff", "work", "target"}) (void)dir.MakeDir(name, 0755);
    for (size_t i = 0; i < count; ++i) {
      DirFd layer = *dir.MakeDir(StrCat("l", i), 0755);
      EXPECT_TRUE(layer.WriteFile(StrCat("l", i), "x", 0644));
      EXPECT_TRUE(layer.WriteFile("same", StrCat(i), 0644));
      options.lower.push_back(std::move(layer));
    }
  }
  void Writable() {
    options.upper = *dir.OpenDir("diff");
    options.work = *dir.OpenDir("work");
  }
  AttachedMount attached;
  DirFd dir;
  OverlayOptions options;
};

class MountTest : public ::testing::Test {
 protected:
  TempDir temp_ = *TempDir::Make();
  void SetUp() override { ASSERT_TRUE(temp_.dir().MakeDir("fs", 0755)); }
};

class OverlayStyleTest : public MountTest,
                         public ::testing::WithParamInterface<internal::OverlayStyle> {};
INSTANTIATE_TEST_SUITE_P(Styles, OverlayStyleTest,
                         ::testing::Values(internal::OverlayStyle::kFd,
                                           internal::OverlayStyle::kPath,
                                           internal::OverlayStyle::kOption));

TEST_P(OverlayStyleTest, TopmostLayerWinsAndWritesGoToUpper) {
  LeakCheck leaks;
  IN_PRIVATE_MOUNTS([&] {
    Layers layers(temp_.path(), 20);
    layers.Writable();
    bool unknown = false;
    Result<Mount> mount = internal::OverlayBy(GetParam(), layers.options, 0, unknown);
    if (!mount && unknown) return;  // an older kernel
    ASSERT_TRUE(mount) << mount.error().message();
    DirFd merged = *DirFd(*Fd(::dup(mount->fd())).Duplicate()).OpenDir(".");
    EXPECT_EQ(*merged.ReadFile("same", 10), "0");
    EXPECT_EQ(merged.List()->size(), 21U);
    ASSERT_TRUE(merged.WriteFile("new", "n", 0644));
    EXPECT_EQ(*layers.dir.ReadFile("diff/new", 10), "n");
  });
  EXPECT_EQ(leaks.Diff(), "");
}

// What kernels before 6.15 need; later ones can do it too.
TEST_F(MountTest, OverlayOfADetachedMountIsMadeInANamespaceOfItsOwn) {
  LeakCheck leaks;
  IN_PRIVATE_MOUNTS([&] {
    Layers layers(temp_.path(), 3);
    Mount lower = *Mount::CloneTree(layers.dir.get(), false);
    const DirFd root = *lower.OpenRoot();
    OverlayOptions options;
    for (const char* name : {"l0", "l1", "l2"}) options.lower.push_back(*root.OpenDir(name));
    options.upper = *layers.dir.OpenDir("diff");
    options.work = *layers.dir.OpenDir("work");
    const size_t before = MountsNow().size();
    Result<Mount> mount = internal::OverlayInOwnNamespace(options, std::move(lower), 0);
    ASSERT_TRUE(mount) << mount.error().message();
    EXPECT_EQ(MountsNow().size(), before);
    DirFd merged = *DirFd(*Fd(::dup(mount->fd())).Duplicate()).OpenDir(".");
    EXPECT_EQ(*merged.ReadFile("same", 10), "0");
    ASSERT_TRUE(merged.WriteFile("new", "n", 0644));
    EXPECT_EQ(*layers.dir.ReadFile("diff/new", 10), "n");
  });
  EXPECT_EQ(leaks.Diff(), "");
}

// Where systemd runs every mount is shared, and a copy of one is its peer: what is mounted on the copy
// appears on the node's, and stays there when the namespace is gone.
TEST_F(MountTest, OverlayInANamespaceOfItsOwnMountsNothingOnTheSharedMountBelow) {
  IN_PRIVATE_MOUNTS([&] {
    Layers layers(temp_.path(), 2);
    const std::string shared = temp_.path() + "/fs";
    ASSERT_EQ(::mount(nullptr, shared.c_str(), nullptr, MS_SHARED, nullptr), 0);
    // As a container's: the copy of the layers, and beside it one of the directory that is above.
    ASSERT_TRUE(layers.dir.MakeDir("container", 0755));
    const DirFd container = *layers.dir.OpenDir("container");
    ASSERT_TRUE(container.MakeDir("diff", 0755));
    ASSERT_TRUE(container.MakeDir("work", 0755));
    Mount lower = *Mount::CloneTree(layers.dir.get(), false);
    const DirFd root = *lower.OpenRoot();
    OverlayOptions options;
    for (const char* name : {"l0", "l1"}) options.lower.push_back(*root.OpenDir(name));
    options.upper = *container.OpenDir("diff");
    options.work = *container.OpenDir("work");
    const size_t before = MountsNow().size();
    Result<Mount> mount = internal::OverlayInOwnNamespace(options, std::move(lower), 0);
    ASSERT_TRUE(mount) << mount.error().message();
    EXPECT_EQ(MountsAt(shared), 1U);
    EXPECT_EQ(MountsNow().size(), before);
  });
}

TEST_F(MountTest, OverlayIsDetachedUntilAttachedAndGoneAfterwards) {
  IN_PRIVATE_MOUNTS([&] {
    Layers layers(temp_.path(), 2);
    layers.options.source = "berth-test";
    const std::string target = temp_.path() + "/fs/target";
    Result<Mount> mount = Mount::Overlay(layers.options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    ASSERT_TRUE(mount) << mount.error().message();
    EXPECT_EQ(MountsAt(target), 0U);
    {
      AttachedMount there = *AttachedMount::Attach(std::move(*mount), layers.dir, "target");
      EXPECT_EQ(MountsAt(target), 1U);
      EXPECT_EQ(MountsNow().back().source, "berth-test");
      EXPECT_EQ(MountsNow().back().fs_type, "overlay");
      EXPECT_EQ(*layers.dir.ReadFile("target/same", 10), "0");
      // No upper directory: read-only.
      EXPECT_EQ(layers.dir.WriteFile("target/new", "", 0600).error().sys_errno(), EROFS);
      AttachedMount moved = std::move(there);
      EXPECT_EQ(MountsAt(target), 1U);
    }
    EXPECT_EQ(MountsAt(target), 0U);
  });
}

TEST_F(MountTest, OverlayErrorsCarryTheKernelsWords) {
  EXPECT_EQ(Mount::Overlay({}).error().code(), Code::kInvalidArgument);
  IN_PRIVATE_MOUNTS([&] {
    Layers layers(temp_.path(), 1);
    EXPECT_EQ(Mount::Overlay(layers.options).error().code(), Code::kInvalidArgument);
    // Upper and work on different file systems.
    ASSERT_TRUE(temp_.dir().MakeDir("elsewhere", 0755));
    layers.options.upper = *layers.dir.OpenDir("diff");
    layers.options.work = *DirFd::OpenTrusted(temp_.path() + "/elsewhere");
    Result<Mount> mount = Mount::Overlay(layers.options);
    ASSERT_FALSE(mount);
    EXPECT_THAT(mount.error().message(), HasSubstr("overlay: "));
    EXPECT_EQ(mount.error().sys_errno(), EINVAL);
    // One that the kernel explains in its log.
    Result<Mount> bad = Mount::Tmpfs("much", "0755", 0);
    ASSERT_FALSE(bad);
    EXPECT_THAT(bad.error().message(), HasSubstr("kernel: "));
    EXPECT_THAT(bad.error().message(), HasSubstr("size"));
  });
}

TEST_F(MountTest, VolatileOverlay) {
  IN_PRIVATE_MOUNTS([&] {
    Layers layers(temp_.path(), 1);
    layers.Writable();
    layers.options.volatile_upper = true;
    Result<Mount> mount = Mount::Overlay(layers.options);
    ASSERT_TRUE(mount) << mount.error().message();
    AttachedMount there = *AttachedMount::Attach(std::move(*mount), layers.dir, "target");
    EXPECT_THAT(MountsNow().back().super_options, HasSubstr("volatile"));
  });
}

TEST_F(MountTest, AssignmentUnmountsWhatWasThereAndReleaseLeavesIt) {
  IN_PRIVATE_MOUNTS([&] {
    DirFd dir = *DirFd::OpenTrusted(temp_.path());
    ASSERT_TRUE(dir.MakeDir("other", 0755));
    AttachedMount a = *AttachedMount::Attach(*Mount::Tmpfs("1m", "0755", 0), dir, "fs");
    AttachedMount b = *AttachedMount::Attach(*Mount::Tmpfs("1m", "0755", 0), dir, "other");
    a = std::move(b);
    EXPECT_EQ(MountsAt(temp_.path() + "/fs"), 0U);
    EXPECT_EQ(MountsAt(temp_.path() + "/other"), 1U);
    a.Release();
    a = AttachedMount();
    EXPECT_EQ(MountsAt(temp_.path() + "/other"), 1U);
    EXPECT_TRUE(Detach(dir, "other"));
    EXPECT_TRUE(Detach(dir, "other"));
    EXPECT_TRUE(Detach(dir, "nothing"));
    EXPECT_EQ(MountsAt(temp_.path() + "/other"), 0U);
  });
}

TEST_F(MountTest, DetachOnlyTakesTheTopmost) {
  IN_PRIVATE_MOUNTS([&] {
    DirFd dir = *DirFd::OpenTrusted(temp_.path());
    for (int i = 0; i < 2; ++i)
      AttachedMount::Attach(*Mount::Tmpfs("1m", "0755", 0), dir, "fs")->Release();
    EXPECT_EQ(MountsAt(temp_.path() + "/fs"), 2U);
    EXPECT_TRUE(Detach(dir, "fs"));
    EXPECT_EQ(MountsAt(temp_.path() + "/fs"), 1U);
    EXPECT_TRUE(Detach(dir, "fs"));
  });
}

TEST_F(MountTest, CloneTreeMakesAnIndependentReadOnlyView) {
  IN_PRIVATE_MOUNTS([&] {
    DirFd dir = *DirFd::OpenTrusted(temp_.path());
    AttachedMount fs = *AttachedMount::Attach(*Mount::Tmpfs("1m", "0755", 0), dir, "fs");
    ASSERT_TRUE(dir.WriteFile("fs/file", "x", 0644));
    Fd root = *dir.Open("fs", O_PATH | O_DIRECTORY);
    Mount copy = *Mount::CloneTree(root.get(), true);
    ASSERT_TRUE(copy.SetAttributes(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME, 0, true));
    ASSERT_TRUE(copy.SetPropagation(MS_PRIVATE, true));
    ASSERT_TRUE(dir.MakeDir("view", 0755));
    AttachedMount view = *AttachedMount::Attach(std::move(copy), dir, "view");
    EXPECT_EQ(*dir.ReadFile("view/file", 10), "x");
    EXPECT_EQ(dir.WriteFile("view/file", "y", 0644).error().sys_errno(), EROFS);
    EXPECT_TRUE(dir.WriteFile("fs/file", "y", 0644));
    // A file can be a mount point too.
    ASSERT_TRUE(dir.WriteFile("target", "below", 0644));
    Fd file = *dir.Open("fs/file", O_PATH);
    AttachedMount bound =
        *AttachedMount::Attach(*Mount::CloneTree(file.get(), false), dir, "target");
    EXPECT_EQ(*dir.ReadFile("target", 10), "y");
    ASSERT_TRUE(bound.Unmount());
    EXPECT_EQ(*dir.ReadFile("target", 10), "below");
  });
}

TEST_F(MountTest, PrivateMountPointIsMadeOnceAndRemoved) {
  IN_PRIVATE_MOUNTS([&] {
    // Below a shared mount, where what is attached becomes shared by itself.
    DirFd dir = *DirFd::OpenTrusted(temp_.path());
    AttachedMount fs = *AttachedMount::Attach(*Mount::Tmpfs("1m", "0755", 0), dir, "fs");
    ASSERT_EQ(::mount("", (temp_.path() + "/fs").c_str(), nullptr, MS_SHARED, nullptr), 0);
    const std::string run = temp_.path() + "/fs/run";
    ASSERT_TRUE(dir.MakeDir("fs/run", 0755));
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(MakePrivateMountPoint(run));
    EXPECT_EQ(MountsAt(run), 1U);
    DirFd self = *DirFd::OpenTrusted("/proc/thread-self");
    const std::string info = *self.ReadFile("mountinfo", 10U << 20);
    for (std::string_view line : Split(info, '\n')) {
      const bool ours = line.find(StrCat(" ", run, " ")) != std::string_view::npos;
      EXPECT_FALSE(ours && line.find("shared:") != std::string_view::npos) << line;
    }
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(RemoveMountPoint(run));
    EXPECT_EQ(MountsAt(run), 0U);
  });
  EXPECT_EQ(MakePrivateMountPoint("/").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(RemoveMountPoint("/").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(MakePrivateMountPoint(temp_.path() + "/no").error().code(), Code::kNotFound);
  EXPECT_TRUE(RemoveMountPoint(temp_.path() + "/no"));
}

TEST_F(MountTest, LeakCheckNamesWhatIsLeft) {
  IN_PRIVATE_MOUNTS([&] {
    LeakCheck leaks;
    DirFd dir = *DirFd::OpenTrusted(temp_.path());
    AttachedMount fs = *AttachedMount::Attach(*Mount::Tmpfs("1m", "0755", 0), dir, "fs");
    const std::string diff = leaks.Diff();
    EXPECT_THAT(diff, HasSubstr(StrCat("+ mount ", temp_.path(), "/fs tmpfs\n")));
    EXPECT_THAT(diff, HasSubstr("+ fd "));
  });
}

TEST(MountInfoTest, ParsesFieldsAndEscapes) {
  auto all = *ParseMountInfo(
      "36 35 98:0 /mnt1 /a\\040b\\134c rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=x\n"
      "37 35 0:4 net:[4026532] /run/netns/x rw - nsfs nsfs rw\n"
      "38 35 0:5 / /empty-source rw - tmpfs  rw\n");
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].mount_point, "/a b\\c");
  EXPECT_EQ(all[0].fs_type, "ext3");
  EXPECT_EQ(all[0].source, "/dev/root");
  EXPECT_EQ(all[0].super_options, "rw,errors=x");
  EXPECT_EQ(all[0].root, "/mnt1");
  EXPECT_EQ(all[1].root, "net:[4026532]");
  EXPECT_EQ(all[2].source, "");
}

TEST(MountInfoTest, MalformedLinesAreQuoted) {
  for (const char* line :
       {"x", "36 35 98:0 / /a rw - ext3 /dev/root", "a 35 98:0 / /a rw - ext3 /dev/root rw",
        "36 35 98:0 / a rw - ext3 /dev/root rw", "36 35 980 / /a rw - ext3 /dev/root rw"}) {
    auto parsed = ParseMountInfo(line);
    ASSERT_FALSE(parsed) << line;
    EXPECT_THAT(parsed.error().message(), HasSubstr(line));
  }
}

}  // namespace
}  // namespace berth::os
