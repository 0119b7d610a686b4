// SPDX-License-Identifier: Apache-2.0
#include "os/dir_fd.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <string>

#include "base/strings.h"

namespace berth::os {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class DirFdTest : public ::testing::Test {
 protected:
  TempDir temp_ = *TempDir::Make();
  const DirFd& dir_ = temp_.dir();

  void Link(const char* target, const char* name) {
    ASSERT_EQ(::symlinkat(target, dir_.get(), name), 0);
  }
  size_t CountFds() { return DirFd::OpenTrusted("/proc/self/fd")->List()->size(); }
};

TEST_F(DirFdTest, OwnTreeRefusesLinksAndWaysOut) {
  ASSERT_TRUE(dir_.WriteFile("file", "x", 0644));
  ASSERT_TRUE(dir_.MakeDir("sub", 0755));
  Link("file", "link");
  Link("sub", "dirlink");
  for (const char* rel : {"link", "../x", "sub/../../x", "/etc/passwd", "dirlink/x"}) {
    Result<Fd> opened = dir_.Open(rel, O_RDONLY);
    ASSERT_FALSE(opened) << rel;
    EXPECT_EQ(opened.error().code(), Code::kFailedPrecondition) << rel;
    EXPECT_THAT(opened.error().message(), HasSubstr(rel));
  }
  EXPECT_EQ(dir_.Open(std::string_view("fi\0le", 5), O_RDONLY).error().code(),
            Code::kInvalidArgument);
  EXPECT_EQ(dir_.Open("nothing", O_RDONLY).error().code(), Code::kNotFound);
  EXPECT_EQ(dir_.Open("file/x", O_RDONLY).error().code(), Code::kNotFound);
  // The system calls that take no resolve flags keep to the same rule.
  EXPECT_EQ(dir_.WriteFile("dirlink/x", "", 0600).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(dir_.RemoveFile("../x").error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(dir_.RemoveTree("/tmp").error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(dir_.RemoveTree("sub/..").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(dir_.MakeDir("dirlink/x", 0700).error().code(), Code::kFailedPrecondition);
}

TEST_F(DirFdTest, InRootFollowsLinksAsSeenFromInside) {
  ASSERT_TRUE(dir_.MakeDir("etc", 0755));
  ASSERT_TRUE(dir_.WriteFile("etc/berth-test", "inside", 0644));
  Link("/etc/berth-test", "abs");
  Link("../../../../etc/berth-test", "up");
  Link("/proc/self/exe", "exe");
  EXPECT_EQ(*dir_.ReadFile("abs", 100, Resolve::kInRoot), "inside");
  EXPECT_EQ(*dir_.ReadFile("up", 100, Resolve::kInRoot), "inside");
  EXPECT_EQ(*dir_.ReadFile("/etc/berth-test", 100, Resolve::kInRoot), "inside");
  EXPECT_EQ(dir_.ReadFile("exe", 100, Resolve::kInRoot).error().code(), Code::kNotFound);
}

TEST_F(DirFdTest, InRootRefusesMagicLinks) {
  DirFd proc = *DirFd::OpenTrusted("/proc/self");
  Result<Fd> opened = proc.Open("exe", O_RDONLY, 0, Resolve::kInRoot);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().sys_errno(), ELOOP);
}

TEST_F(DirFdTest, EveryDescriptorIsCloseOnExec) {
  Fd file = *dir_.Open("new", O_WRONLY | O_CREAT | O_EXCL, 0600);
  DirFd sub = *dir_.MakeDir("sub", 0700);
  DirFd copy = *sub.Duplicate();
  for (int fd : {file.get(), dir_.get(), sub.get(), copy.get()})
    EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(sub.ProcPath(), StrCat("/proc/self/fd/", sub.get()));
}

TEST_F(DirFdTest, MakeDirGivesTheExactModeWhateverTheUmask) {
  const mode_t old = ::umask(077);
  EXPECT_TRUE(dir_.MakeDir("a", 01777));
  EXPECT_TRUE(dir_.WriteFile("f", "x", 0644));
  ::umask(old);
  EXPECT_EQ(dir_.Stat("a")->st_mode & 07777U, 01777U);
  EXPECT_EQ(dir_.Stat("f")->st_mode & 07777U, 0644U);
  EXPECT_EQ(dir_.MakeDir("a", 0755).error().code(), Code::kAlreadyExists);
  EXPECT_TRUE(dir_.MakeOrOpenDir("a", 0755));
  EXPECT_TRUE(dir_.MakeOrOpenDir("a/b", 0755));
  EXPECT_EQ(dir_.MakeOrOpenDir("x/b", 0755).error().code(), Code::kNotFound);
}

TEST_F(DirFdTest, MakeTrustedMakesWhatIsMissing) {
  ASSERT_TRUE(DirFd::MakeTrusted(temp_.path() + "/a//b/c/", 0750));
  EXPECT_EQ(dir_.Stat("a/b/c")->st_mode & 07777U, 0750U);
  ASSERT_TRUE(DirFd::MakeTrusted(temp_.path() + "/a/b", 0700));
  EXPECT_EQ(dir_.Stat("a/b")->st_mode & 07777U, 0750U);
  EXPECT_EQ(DirFd::MakeTrusted("relative", 0700).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(DirFd::OpenTrusted(temp_.path() + "/no").error().code(), Code::kNotFound);
}

TEST_F(DirFdTest, ExistsAndStatSeeTheLinkItself) {
  Link("nowhere", "dangling");
  EXPECT_TRUE(*dir_.Exists("dangling"));
  EXPECT_TRUE(S_ISLNK(dir_.Stat("dangling")->st_mode));
  EXPECT_FALSE(*dir_.Exists("nowhere"));
  EXPECT_FALSE(*dir_.Exists("no/where"));
  EXPECT_EQ(dir_.Stat("nowhere").error().code(), Code::kNotFound);
  EXPECT_TRUE(S_ISDIR(dir_.Stat(".")->st_mode));
}

TEST_F(DirFdTest, RenameReplacesOnlyWhenTold) {
  ASSERT_TRUE(dir_.WriteFile("a", "1", 0600));
  ASSERT_TRUE(dir_.WriteFile("b", "2", 0600));
  Result<> refused = dir_.Rename("a", "b", false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kAlreadyExists);
  EXPECT_EQ(*dir_.ReadFile("b", 10), "2");
  ASSERT_TRUE(dir_.Rename("a", "b", true));
  EXPECT_EQ(*dir_.ReadFile("b", 10), "1");
  EXPECT_EQ(dir_.Rename("a", "c", true).error().code(), Code::kNotFound);
}

TEST_F(DirFdTest, ListHasALimitAndMayBeRepeated) {
  ASSERT_TRUE(dir_.WriteFile("a", "", 0600));
  ASSERT_TRUE(dir_.WriteFile(".b", "", 0600));
  for (int i = 0; i < 2; ++i) EXPECT_THAT(*dir_.List(2), UnorderedElementsAre("a", ".b"));
  EXPECT_EQ(dir_.List(1).error().code(), Code::kResourceExhausted);
}

TEST_F(DirFdTest, ReadFileTakesOnlyRegularFilesUpToTheLimit) {
  ASSERT_TRUE(dir_.WriteFile("f", "12345", 0600));
  EXPECT_EQ(*dir_.ReadFile("f", 5), "12345");
  Result<std::string> big = dir_.ReadFile("f", 4);
  ASSERT_FALSE(big);
  EXPECT_EQ(big.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(big.error().message(), HasSubstr("larger than 4 bytes"));
  ASSERT_EQ(::mkfifoat(dir_.get(), "fifo", 0600), 0);  // opening it would wait for a writer
  ASSERT_TRUE(dir_.MakeDir("d", 0700));
  Link("f", "link");
  for (const char* rel : {"fifo", "d", "link"}) {
    Result<std::string> read = dir_.ReadFile(rel, 10);
    ASSERT_FALSE(read) << rel;
    EXPECT_EQ(read.error().code(), Code::kFailedPrecondition) << rel;
    EXPECT_THAT(read.error().message(), HasSubstr("not a regular file"));
  }
}

TEST_F(DirFdTest, WriteFileReplacesTheWholeAndLeavesNoTemporary) {
  ASSERT_TRUE(dir_.WriteFile("f", "old and long", 0600, Durability::kDurable));
  Fd old = *dir_.Open("f", O_RDONLY);
  ASSERT_TRUE(dir_.WriteFile("f", "new", 0640));
  EXPECT_EQ(*ReadAll(old.get(), 100), "old and long");  // a reader keeps what it opened
  EXPECT_EQ(*dir_.ReadFile("f", 100), "new");
  ASSERT_TRUE(dir_.MakeDir("d", 0700));
  EXPECT_FALSE(dir_.WriteFile("d", "x", 0600));
  EXPECT_THAT(*dir_.List(), UnorderedElementsAre("f", "d"));
  EXPECT_TRUE(dir_.Sync());
}

TEST_F(DirFdTest, RemoveFileOfNothingIsSuccess) {
  EXPECT_TRUE(dir_.RemoveFile("no"));
  EXPECT_TRUE(dir_.RemoveFile("no/where"));
  ASSERT_TRUE(dir_.MakeDir("d", 0700));
  EXPECT_FALSE(dir_.RemoveFile("d"));
  EXPECT_TRUE(*dir_.Exists("d"));
}

TEST_F(DirFdTest, TempDirIsGoneAtTheEndAndMovesOnce) {
  std::string path;
  {
    TempDir one = *TempDir::Make();
    TempDir two = std::move(one);
    path = two.path();
    ASSERT_TRUE(two.dir().WriteFile("f", "x", 0600));
  }
  EXPECT_EQ(DirFd::OpenTrusted(path).error().code(), Code::kNotFound);
}

TEST_F(DirFdTest, NothingLeaksWhenThingsFail) {
  const size_t before = CountFds();
  (void)dir_.MakeDir("no/sub", 0700);
  (void)dir_.MakeDir("sub", 0700);
  (void)dir_.MakeDir("sub", 0700);
  (void)dir_.WriteFile("sub", "x", 0600);
  (void)dir_.ReadFile("sub", 1);
  (void)dir_.List(0);
  (void)dir_.RemoveTree("sub");
  EXPECT_EQ(CountFds(), before);
}

}  // namespace
}  // namespace berth::os
