// SPDX-License-Identifier: Apache-2.0
#include "os/sealed_program.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"
#include "os/dir_fd.h"
#include "os/process.h"

namespace berth::os {
namespace {

using ::testing::HasSubstr;

class SealedProgramTest : public ::testing::Test {
 protected:
  std::string Path(const char* name) { return StrCat(temp_.path(), "/", name); }
  void ExpectRefused(const std::string& path, Code code, const char* words) {
    Result<SealedProgram> made = SealProgram(path.c_str());
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code(), code);
    EXPECT_THAT(made.error().message(), HasSubstr(words));
  }
  TempDir temp_ = *TempDir::Make();
};

TEST_F(SealedProgramTest, RunsAndCannotBeWritten) {
  Result<SealedProgram> program = SealProgram("/bin/sh");
  ASSERT_TRUE(program) << program.error().message();
  const int fd = program->file.get();
  EXPECT_EQ(::pwrite(fd, "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(fd, 0), -1);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  EXPECT_EQ(::fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), -1);
  RunOptions run;
  run.spawn.path = StrCat("/proc/", ::getpid(), "/fd/", fd);
  run.spawn.args = {"sh", "-c", "echo $0 runs"};
  Result<RunOutput> output = os::Run(run);
  ASSERT_TRUE(output) << output.error().message();
  EXPECT_EQ(output->out, "sh runs\n");
}

TEST_F(SealedProgramTest, AnotherFileInItsPlaceIsAnotherIdentity) {
  Fd shell(::open("/bin/sh", O_RDONLY | O_CLOEXEC));
  const std::string bytes = *ReadAll(shell.get(), 16 << 20);
  ASSERT_TRUE(temp_.dir().WriteFile("program", bytes, 0755));
  const std::string path = Path("program");
  Result<SealedProgram> program = SealProgram(path.c_str());
  ASSERT_TRUE(program) << program.error().message();
  EXPECT_EQ(*IdentityOf(path.c_str()), program->source);
  ASSERT_TRUE(temp_.dir().WriteFile("newer", bytes, 0755));
  ASSERT_EQ(::rename(Path("newer").c_str(), path.c_str()), 0);
  EXPECT_FALSE(*IdentityOf(path.c_str()) == program->source);
  ASSERT_EQ(::unlink(path.c_str()), 0);
  EXPECT_EQ(IdentityOf(path.c_str()).error().sys_errno(), ENOENT);
}

TEST_F(SealedProgramTest, ScriptsDirectoriesAndHugeFilesAreRefused) {
  ASSERT_TRUE(temp_.dir().WriteFile("script", "#!/bin/sh\nexit 0\n", 0755));
  ASSERT_TRUE(temp_.dir().WriteFile("empty", "", 0755));
  ASSERT_TRUE(temp_.dir().WriteFile("huge",
                                    "\x7f"
                                    "ELF",
                                    0755));
  ASSERT_EQ(::truncate(Path("huge").c_str(), (64 << 20) + 1), 0);
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  ExpectRefused(Path("script"), Code::kInvalidArgument, "not an ELF program");
  ExpectRefused(Path("empty"), Code::kInvalidArgument, "not an ELF program");
  ExpectRefused(Path("huge"), Code::kInvalidArgument, "larger than 67108864 bytes");
  ExpectRefused(Path("fifo"), Code::kInvalidArgument, "not a regular file");
  ExpectRefused(temp_.path(), Code::kInvalidArgument, "not a regular file");
  EXPECT_EQ(SealProgram(Path("none").c_str()).error().code(), Code::kNotFound);
}

TEST_F(SealedProgramTest, WhatMayNotBeExecutedIsNotCopied) {
  Fd shell(::open("/bin/sh", O_RDONLY | O_CLOEXEC));
  const std::string bytes = *ReadAll(shell.get(), 16 << 20);
  ASSERT_TRUE(temp_.dir().WriteFile("program", bytes, 0755));
  ASSERT_TRUE(SealProgram(Path("program").c_str()));
  ASSERT_EQ(::chmod(Path("program").c_str(), 0644), 0);
  ExpectRefused(Path("program"), Code::kPermissionDenied, "may not be executed");
  if (::geteuid() != 0) GTEST_SKIP() << "a noexec mount needs root";
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(::mkdir(Path("noexec").c_str(), 0755), 0);
  ASSERT_EQ(::mount("none", Path("noexec").c_str(), "tmpfs", MS_NOEXEC, nullptr), 0);
  // By its path: the directory's descriptor is of the namespace of before.
  Fd copy(::open(Path("noexec/program").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
  ASSERT_EQ(::write(copy.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  copy.Reset();
  ExpectRefused(Path("noexec/program"), Code::kPermissionDenied, "may not be executed");
  EXPECT_EQ(::umount(Path("noexec").c_str()), 0);
}

}  // namespace
}  // namespace berth::os
