// SPDX-License-Identifier: Apache-2.0
#include "os/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <string>

#include "os/dir_fd.h"

namespace berth::os {
namespace {

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
bool IsCloexec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

size_t CountFds() { return DirFd::OpenTrusted("/proc/self/fd")->List()->size(); }

TEST(FdTest, MoveAssignmentClosesTheOldAndEmptiesTheSource) {
  Pipe pipe = *MakePipe();
  const int old = pipe.read.get();
  const int kept = pipe.write.get();
  pipe.read = std::move(pipe.write);
  EXPECT_FALSE(IsOpen(old));
  EXPECT_TRUE(IsOpen(kept));
  EXPECT_EQ(pipe.read.get(), kept);
  EXPECT_FALSE(pipe.write.valid());  // NOLINT: what is left of it is the question
}

TEST(FdTest, SelfMoveKeepsTheDescriptor) {
  Pipe pipe = *MakePipe();
  const int fd = pipe.read.get();
  Fd& same = pipe.read;
  pipe.read = std::move(same);
  EXPECT_EQ(pipe.read.get(), fd);
  EXPECT_TRUE(IsOpen(fd));
}

TEST(FdTest, ReleaseGivesUpOwnership) {
  int raw;
  {
    Pipe pipe = *MakePipe();
    raw = pipe.read.Release();
    EXPECT_FALSE(pipe.read.valid());
  }
  EXPECT_TRUE(IsOpen(raw));
  Fd again(raw);
  again.Reset();
  EXPECT_FALSE(IsOpen(raw));
}

TEST(FdTest, NothingLeaksThroughMovesDuplicatesAndErrors) {
  const size_t before = CountFds();
  {
    Pipe pipe = *MakePipe(O_NONBLOCK);
    Fd a = *pipe.read.Duplicate();
    Fd b = std::move(a);
    a = *b.Duplicate();
    a = std::move(b);
    EXPECT_TRUE(IsCloexec(a.get()));
    EXPECT_TRUE(IsCloexec(pipe.write.get()));
    Result<Fd> bad = Fd().Duplicate();
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().sys_errno(), EBADF);
    EXPECT_GT(CountFds(), before);
  }
  EXPECT_EQ(CountFds(), before);
}

TEST(MemFileTest, IsReadableFromTheStartAndSealed) {
  Fd file = *MakeMemFile("test", "some bytes");
  EXPECT_EQ(*ReadAll(file.get(), 100), "some bytes");
  EXPECT_TRUE(IsCloexec(file.get()));
  Result<> written = WriteAll(file.get(), "x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kPermissionDenied);
  EXPECT_EQ(::ftruncate(file.get(), 0), -1);
}

TEST(MemFileTest, UnsealedMayBeWritten) {
  Fd file = *MakeMemFile("test", "ab", false);
  EXPECT_TRUE(WriteAll(file.get(), "cd"));
  ::lseek(file.get(), 0, SEEK_SET);
  EXPECT_EQ(*ReadAll(file.get(), 100), "cd");
}

TEST(FdTest, SetNonBlockingTurnsOnAndOff) {
  Pipe pipe = *MakePipe();
  ASSERT_TRUE(SetNonBlocking(pipe.read.get(), true));
  char c;
  EXPECT_EQ(::read(pipe.read.get(), &c, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  ASSERT_TRUE(SetNonBlocking(pipe.read.get(), false));
  EXPECT_EQ(::fcntl(pipe.read.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(SetNonBlocking(-1, true).error().sys_errno(), EBADF);
}

}  // namespace
}  // namespace berth::os
