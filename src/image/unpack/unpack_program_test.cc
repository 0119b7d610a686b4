// SPDX-License-Identifier: Apache-2.0
// The program berth-unpack on honest and hostile layers: needs root, for its sandbox.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>

#include "base/strings.h"
#include "image/unpacker.h"
#include "os/dir_fd.h"
#include "tests/support/tar_writer.h"

namespace berth::image {
namespace {

using berth::testing::GzipStored;
using berth::testing::TarMember;
using berth::testing::TarWriter;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

//   <tmp>/canary       a file that no layer may reach
//   <tmp>/layer        where layers go
class UnpackProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "makes namespaces and device nodes: needs root";
    auto tmp = os::TempDir::Make();
    ASSERT_TRUE(tmp);
    tmp_.emplace(std::move(*tmp));
    ASSERT_TRUE(tmp_->dir().WriteFile("canary", "alive", 0600));
    canary_ = *tmp_->dir().Stat("canary");
    Fresh();
  }
  void TearDown() override {
    if (!tmp_) return;
    EXPECT_EQ(*tmp_->dir().ReadFile("canary", 100), "alive");
    const struct stat now = *tmp_->dir().Stat("canary");
    EXPECT_EQ(now.st_mode, canary_.st_mode);
    EXPECT_EQ(now.st_ino, canary_.st_ino);
    EXPECT_EQ(now.st_nlink, canary_.st_nlink);
    EXPECT_EQ(now.st_uid, canary_.st_uid);
    EXPECT_EQ(now.st_ctim.tv_nsec, canary_.st_ctim.tv_nsec);
  }
  void Fresh() {
    ASSERT_TRUE(tmp_->dir().RemoveTree("layer"));
    auto layer = tmp_->dir().MakeDir("layer", 0755);
    ASSERT_TRUE(layer);
    layer_ = std::move(*layer);
  }
  Result<LayerResult> Unpack(const std::string& stream, LayerBudget budget = {}) {
    ProcessUnpacker unpacker(BERTH_UNPACK);
    os::Fd input = TRY(os::MakeMemFile("layer", stream));
    return TRY(unpacker.Start(layer_, std::move(input), budget))->Wait();
  }
  std::string CanaryPath() const { return tmp_->path() + "/canary"; }
  struct stat Stat(const char* path) {
    auto st = layer_.Stat(path);
    EXPECT_TRUE(st) << path;
    const struct stat none{};
    return st ? *st : none;
  }
  bool IsWhiteout(const char* path) {
    const struct stat st = Stat(path);
    return S_ISCHR(st.st_mode) && st.st_rdev == 0;
  }
  bool IsOpaque(const char* path) {
    char value = 0;
    auto dir = layer_.OpenDir(path);
    return dir && ::fgetxattr(dir->get(), "trusted.overlay.opaque", &value, 1) == 1;
  }

  std::optional<os::TempDir> tmp_;
  os::DirFd layer_;
  struct stat canary_{};
};

TEST_F(UnpackProgramTest, WritesEveryKindOfEntryAsItWas) {
  TarMember file;
  file.name = "d/file";
  file.data = "content";
  file.mode = 04751;
  file.uid = 3'000'000;
  file.gid = 4'000'000'000;
  file.pax = {{"mtime", "1500000000.123456789"},
              {"SCHILY.xattr.user.note", "n"},
              {"SCHILY.xattr.trusted.overlay.redirect", "/x"},
              {"SCHILY.xattr.user.overlay.opaque", "y"},
              {"SCHILY.xattr.security.capability",
               std::string("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20)}};
  TarMember device;
  device.name = "dev/x";
  device.type = '3';
  device.major = 1;
  device.minor = 3;
  TarMember fifo;
  fifo.name = "fifo";
  fifo.type = '6';
  const std::string tar = TarWriter()
                              .Dir("./", 0711)
                              .Dir("d", 01777)
                              .Add(file)
                              .HardLink("hard", "/d/file")
                              .Symlink("soft", "/d/file")
                              .Add(device)
                              .Add(fifo)
                              .Finish();
  auto result = Unpack(GzipStored(tar, 3));
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(result->described_root);
  EXPECT_EQ(result->inodes, 6U);
  EXPECT_THAT(result->implied_dirs, ElementsAre("dev"));
  const struct stat st = Stat("d/file");
  EXPECT_EQ(st.st_mode, S_IFREG | 04751U);
  EXPECT_EQ(st.st_uid, 3'000'000U);
  EXPECT_EQ(st.st_gid, 4'000'000'000U);
  EXPECT_EQ(st.st_mtim.tv_sec, 1'500'000'000);
  EXPECT_EQ(st.st_mtim.tv_nsec, 123'456'789);
  EXPECT_EQ(st.st_nlink, 2U);
  EXPECT_EQ(Stat("hard").st_ino, st.st_ino);
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, 1'600'000'000);
  EXPECT_EQ(Stat("d").st_mode, S_IFDIR | 01777U);
  EXPECT_EQ(Stat("dev/x").st_rdev, makedev(1, 3));
  EXPECT_TRUE(S_ISFIFO(Stat("fifo").st_mode));
  struct stat root{};
  ::fstat(layer_.get(), &root);
  EXPECT_EQ(root.st_mode, S_IFDIR | 0711U);
  auto fd = layer_.Open("d/file", O_RDONLY);
  ASSERT_TRUE(fd);
  char names[256];
  const ssize_t n = ::flistxattr(fd->get(), names, sizeof names);
  const std::string listed(names, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  EXPECT_THAT(listed, HasSubstr("user.note"));
  EXPECT_THAT(listed, HasSubstr("security.capability"));
  EXPECT_EQ(listed.find("overlay"), std::string::npos);
}

TEST_F(UnpackProgramTest, SymlinksAndDotsLeadNowhereElse) {
  const std::string up = "../../../../../../../../../../..";
  const std::string tar = TarWriter()
                              .Symlink("abs", tmp_->path())
                              .File("abs/canary", "bad")
                              .Symlink("rel", up + tmp_->path())
                              .File("rel/canary", "bad", 0777)
                              .File(up + CanaryPath(), "bad")
                              .File(CanaryPath(), "bad")
                              .Symlink("file", CanaryPath())
                              .File("file", "new", 0777)
                              .Symlink("link", CanaryPath())
                              .HardLink("hardlink", "link")
                              .Finish();
  auto result = Unpack(tar);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(*layer_.ReadFile(CanaryPath().substr(1), 100), "bad");
  EXPECT_TRUE(S_ISREG(Stat("file").st_mode));
  EXPECT_TRUE(S_ISLNK(Stat("hardlink").st_mode));
}

TEST_F(UnpackProgramTest, AHardLinkNeedsItsTargetInTheLayer) {
  for (const std::string& target :
       {CanaryPath(), std::string("/etc/passwd"), std::string("../../etc/passwd"), std::string("/"),
        std::string("wh")}) {
    Fresh();
    auto result = Unpack(TarWriter().File(".wh.wh", "").HardLink("x", target).Finish());
    ASSERT_FALSE(result) << target;
    EXPECT_EQ(result.error().code(), Code::kFailedPrecondition);
    EXPECT_THAT(result.error().message(), HasSubstr("which this layer does not have"));
  }
}

TEST_F(UnpackProgramTest, AParentSwappedForASymlinkIsSeen) {
  auto result = Unpack(TarWriter()
                           .Dir("d")
                           .File("d/a", "1")
                           .Symlink("d", tmp_->path())
                           .File("d/canary", "bad")
                           .Finish());
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(S_ISLNK(Stat("d").st_mode));
  EXPECT_EQ(*layer_.ReadFile((tmp_->path() + "/canary").substr(1), 100), "bad");
}

TEST_F(UnpackProgramTest, Whiteouts) {
  auto result = Unpack(TarWriter()
                           .Dir("a")
                           .File("a/.wh.gone", "")
                           .Dir("b")
                           .File("b/.wh..wh..opq", "")
                           .File("b/kept", "k")
                           .File(".wh.c", "")
                           .Dir("c")
                           .Dir("e")
                           .File(".wh.e", "")
                           .File("f", "mine")
                           .File(".wh.f", "")
                           .File(".wh.g", "")
                           .File("g", "mine")
                           .Symlink("s", "a")
                           .File("s/.wh.through", "")
                           .Finish());
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(IsWhiteout("a/gone"));
  EXPECT_TRUE(IsWhiteout("a/through"));
  EXPECT_TRUE(IsOpaque("b"));
  EXPECT_TRUE(IsOpaque("c"));
  EXPECT_TRUE(IsOpaque("e"));
  EXPECT_FALSE(IsOpaque("a"));
  EXPECT_EQ(*layer_.ReadFile("f", 10), "mine");
  EXPECT_EQ(*layer_.ReadFile("g", 10), "mine");
  EXPECT_FALSE(result->opaque_root);
  Fresh();
  EXPECT_TRUE(Unpack(TarWriter().File(".wh..wh..opq", "").Finish())->opaque_root);
}

TEST_F(UnpackProgramTest, RefusesWhatNoLayerMayHold) {
  TarMember major;
  major.name = "dev";
  major.type = '4';
  major.major = 4096;
  TarMember minor = major;
  minor.major = 8;
  minor.minor = 1 << 20;
  TarMember whiteout = major;
  whiteout.type = '3';
  whiteout.major = 0;
  const std::string kTars[] = {
      TarWriter().File(".wh.", "").Finish(),
      TarWriter().File(".wh..", "").Finish(),
      TarWriter().File(".wh...", "").Finish(),
      TarWriter().File("a/.wh..wh.plnk", "").Finish(),
      TarWriter().File(".wh.a/b", "").Finish(),
      TarWriter().File("./", "").Symlink("/", "x").Finish(),
      TarWriter().Dir("d").HardLink("x", "d").Finish(),
      TarWriter().Add(major).Finish(),
      TarWriter().Add(minor).Finish(),
      TarWriter().Add(whiteout).Finish(),
  };
  for (size_t i = 0; i < std::size(kTars); ++i) {
    Fresh();
    auto result = Unpack(kTars[i]);
    ASSERT_FALSE(result) << i;
    EXPECT_EQ(result.error().code(), Code::kInvalidArgument) << i << result.error().message();
  }
}

TEST_F(UnpackProgramTest, LaterEntriesReplaceEarlierOnes) {
  auto result = Unpack(TarWriter()
                           .Dir("x")
                           .Dir("x/y")
                           .File("x/y/z", "1")
                           .File("x", "now a file")
                           .Symlink("p", "nowhere/deep")
                           .File("p/q", "through")
                           .Finish());
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(*layer_.ReadFile("x", 100), "now a file");
  EXPECT_EQ(*layer_.ReadFile("nowhere/deep/q", 100), "through");
}

TEST_F(UnpackProgramTest, BudgetsEndBombs) {
  auto bytes = Unpack(TarWriter().File("f", std::string(1 << 20, 'x')).Finish(),
                      {.bytes = 64 << 10, .entries = 10});
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code(), Code::kResourceExhausted);
  Fresh();
  TarWriter many;
  for (int i = 0; i < 20; ++i) many.File(StrCat("f", i), "");
  auto entries = Unpack(many.Finish(), {.bytes = 1 << 30, .entries = 10});
  ASSERT_FALSE(entries);
  EXPECT_THAT(entries.error().message(), HasSubstr("more than 10 entries"));
  Fresh();
  // Zeros behind the end of the archive inflate too.
  auto tail = Unpack(GzipStored(std::string(4 << 20, '\0')), {.bytes = 64 << 10, .entries = 10});
  ASSERT_FALSE(tail);
  EXPECT_THAT(tail.error().message(), HasSubstr("inflates to more"));
}

TEST_F(UnpackProgramTest, GarbageIsDataLossAndLeavesNoProcess) {
  for (const std::string& bad : {std::string(100'000, 'x'), std::string("\x1f\x8bzzzzzzzzzzzzz"),
                                 std::string("\x28\xb5\x2f\xfdzzzzzzzzzz")}) {
    auto result = Unpack(bad);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Code::kDataLoss) << result.error().message();
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

TEST_F(UnpackProgramTest, TheUnpackerLivesInNamespacesOfItsOwnWithFewCapabilities) {
  ProcessUnpacker unpacker(BERTH_UNPACK);
  auto pipe = os::MakePipe();
  ASSERT_TRUE(pipe);
  auto running = unpacker.Start(layer_, std::move(pipe->read), {});
  ASSERT_TRUE(running);
  // Its child is the only process that has our process's child as parent.
  auto children = os::DirFd::OpenTrusted("/proc/self/task/" + std::to_string(::gettid()));
  std::string keeper, child;
  for (int i = 0; i < 500 && child.empty(); ++i) {
    ::usleep(10'000);
    auto text = children->ReadFile("children", 4096);
    if (!text) GTEST_SKIP() << "this kernel does not list children";
    keeper = std::string(TrimSpace(*text));
    auto task = os::DirFd::OpenTrusted(StrCat("/proc/", keeper, "/task/", keeper));
    if (!task) continue;
    auto grandchildren = task->ReadFile("children", 4096);
    if (grandchildren) child = std::string(TrimSpace(*grandchildren));
  }
  ASSERT_FALSE(child.empty());
  std::string status;
  for (int i = 0; i < 500; ++i) {
    ::usleep(10'000);
    status = *(*os::DirFd::OpenTrusted("/proc/" + child)).ReadFile("status", 1 << 16);
    if (status.find("Seccomp:\t2") != std::string::npos) break;
  }
  // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP.
  EXPECT_THAT(status, HasSubstr("CapEff:\t000000008800001b"));
  EXPECT_THAT(status, HasSubstr("CapBnd:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("CapInh:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(status, HasSubstr("Seccomp:\t2"));
  const std::string keeper_status =
      *(*os::DirFd::OpenTrusted("/proc/" + keeper)).ReadFile("status", 1 << 16);
  EXPECT_THAT(keeper_status, HasSubstr("CapEff:\t0000000000200000"));
  EXPECT_THAT(keeper_status, HasSubstr("Seccomp:\t2"));
  for (const char* ns : {"mnt", "net", "ipc", "uts", "pid"}) {
    struct stat ours{}, theirs{};
    ASSERT_EQ(::stat(StrCat("/proc/self/ns/", ns).c_str(), &ours), 0);
    ASSERT_EQ(::stat(StrCat("/proc/", child, "/ns/", ns).c_str(), &theirs), 0);
    EXPECT_NE(ours.st_ino, theirs.st_ino) << ns;
  }
  struct stat root{}, layer{};
  ASSERT_EQ(::stat(StrCat("/proc/", child, "/root").c_str(), &root), 0);
  ::fstat(layer_.get(), &layer);
  EXPECT_EQ(root.st_ino, layer.st_ino);
  // Killing the process that we know takes the other along.
  running->reset();
  for (int i = 0; i < 500 && ::access(("/proc/" + child).c_str(), F_OK) == 0; ++i) ::usleep(10'000);
  EXPECT_NE(::access(("/proc/" + child).c_str(), F_OK), 0);
}

}  // namespace
}  // namespace berth::image
