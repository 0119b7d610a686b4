// SPDX-License-Identifier: Apache-2.0
#include "os/run.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>

#include <cerrno>
#include <string>
#include <thread>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::os {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

size_t CountFds() { return DirFd::OpenTrusted("/proc/self/fd")->List()->size(); }

SpawnOptions Shell(std::string script) {
  return {.path = "/bin/sh", .args = {"sh", "-c", std::move(script)}, .env = {}, .fds = {}};
}
RunOptions RunOf(std::string script) {
  RunOptions options;
  options.spawn = Shell(std::move(script));
  return options;
}
Result<RunOutput> RunShell(std::string script) { return os::Run(RunOf(std::move(script))); }

TEST(ProcessTest, ExitCodesAndSignalsAreTold) {
  EXPECT_EQ(Describe(*Spawn(Shell("exit 3"))->Wait()), "exit code 3");
  ExitStatus killed = *Spawn(Shell("kill -9 $$"))->Wait();
  EXPECT_EQ(Describe(killed), "signal 9");
  EXPECT_EQ(killed.code, 137);
  EXPECT_FALSE(killed.ok());
}

TEST(ProcessTest, WaitWithTimeoutSaysStillRunning) {
  Process process = *Spawn(Shell("exec sleep 60"));
  EXPECT_FALSE(process.Wait(milliseconds(20))->has_value());
  ASSERT_TRUE(process.Kill(SIGTERM));
  EXPECT_EQ((*process.Wait(std::chrono::seconds(10)))->signal, SIGTERM);
  EXPECT_FALSE(process.valid());
  EXPECT_EQ(process.Wait().error().code(), Code::kFailedPrecondition);
}

TEST(ProcessTest, DestructorAndMoveAssignmentKillAndReap) {
  const size_t before = CountFds();
  pid_t first, second;
  {
    Process process = *Spawn(Shell("exec sleep 60"));
    first = process.pid();
    process = *Spawn(Shell("exec sleep 60"));
    second = process.pid();
    EXPECT_EQ(::kill(first, 0), -1);
    EXPECT_EQ(::kill(second, 0), 0);
  }
  EXPECT_EQ(::kill(second, 0), -1);
  EXPECT_EQ(errno, ESRCH);
  EXPECT_EQ(CountFds(), before);
}

TEST(ProcessTest, DetachedProcessLivesOn) {
  Fd pidfd;
  pid_t pid;
  {
    Process process = *Spawn(Shell("exec sleep 60"));
    pid = process.pid();
    pidfd = process.Detach();
  }
  ASSERT_EQ(::kill(pid, 0), 0);
  Process again(pid, std::move(pidfd));  // this test reaps it after all
}

TEST(ProcessTest, OpenPidFdOfNobodyIsNotFound) {
  EXPECT_TRUE(Process::OpenPidFd(::getpid()));
  pid_t gone;
  {
    Process process = *Spawn(Shell("exit 0"));
    gone = process.pid();
  }
  EXPECT_EQ(Process::OpenPidFd(gone).error().code(), Code::kNotFound);
  EXPECT_EQ(Process::OpenPidFd(-1).error().code(), Code::kInvalidArgument);
}

TEST(SpawnTest, MissingOrForbiddenExecutableIsNamed) {
  const size_t before = CountFds();
  Result<Process> missing = Spawn({.path = "/no/such/program", .args = {}, .env = {}, .fds = {}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_THAT(missing.error().message(), HasSubstr("/no/such/program"));
  Result<Process> denied = Spawn({.path = "/etc/passwd", .args = {}, .env = {}, .fds = {}});
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code(), Code::kPermissionDenied);
  EXPECT_EQ(Spawn({.path = "sh", .args = {}, .env = {}, .fds = {}}).error().code(),
            Code::kInvalidArgument);
  EXPECT_EQ(CountFds(), before);
}

TEST(SpawnTest, CrossedNumbersReachTheChildAndNothingElseDoes) {
  Fd four = *MakeMemFile("four", "is four");
  Fd three = *MakeMemFile("three", "is three");
  Fd inherited(::open("/dev/null", O_RDONLY));  // not close-on-exec: a library may do that
  Pipe out = *MakePipe();
  SpawnOptions options = Shell("cat <&4; echo; cat <&9; echo; ls /proc/$$/fd; true");
  // Each number of ours is also, for another descriptor, a number in the child.
  options.fds = {{three.get(), 9}, {four.get(), 4}, {out.write.get(), 1}, {9, 5}};
  Fd nine(::fcntl(inherited.get(), F_DUPFD, 9));
  options.fds[3].parent = nine.get();
  options.env = {"PATH=/usr/bin:/bin"};
  Process process = *Spawn(options);
  out.write.Reset();
  EXPECT_EQ(*ReadAll(out.read.get(), 1000), "is four\nis three\n0\n1\n2\n4\n5\n9\n");
  EXPECT_TRUE(process.Wait()->ok());
}

TEST(SpawnTest, SwappedNumbers) {
  Fd a = *MakeMemFile("a", "A");
  Fd b = *MakeMemFile("b", "B");
  Pipe out = *MakePipe();
  SpawnOptions options = Shell(StrCat("cat <&", b.get(), "; cat <&", a.get()));
  options.fds = {{a.get(), b.get()}, {b.get(), a.get()}, {out.write.get(), 1}};
  Process process = *Spawn(options);
  out.write.Reset();
  EXPECT_EQ(*ReadAll(out.read.get(), 1000), "AB");
}

TEST(SpawnTest, ImpossibleMappingsAreRefused) {
  SpawnOptions options = Shell("true");
  options.fds = {{1, 5}, {2, 5}};
  EXPECT_EQ(Spawn(options).error().code(), Code::kInvalidArgument);
  options.fds = {{-1, 5}};
  EXPECT_EQ(Spawn(options).error().code(), Code::kInvalidArgument);
  options.fds = {{900, 5}};
  EXPECT_EQ(Spawn(options).error().sys_errno(), EBADF);
}

TEST(SpawnTest, EnvironmentIsOnlyWhatWasGivenAndSignalsAreDefault) {
  sigset_t blocked, old;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &old);
  auto handler = ::signal(SIGPIPE, SIG_IGN);
  RunOptions options;
  options.spawn = {.path = "/usr/bin/env", .args = {"env"}, .env = {"A=b c"}, .fds = {}};
  EXPECT_EQ(os::Run(options)->out, "A=b c\n");
  std::string out = RunShell("grep -E 'Sig(Blk|Ign)' /proc/self/status")->out;
  ::signal(SIGPIPE, handler);
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  // Signals 32 and 33 belong to the C library, whose posix_spawn leaves them ignored.
  EXPECT_THAT(out, ::testing::MatchesRegex("SigBlk:.0000000000000000\nSigIgn:.0000000180000000\n|"
                                           "SigBlk:.0000000000000000\nSigIgn:.0000000000000000\n"));
}

TEST(SpawnTest, NewSessionLeadsIt) {
  Pipe out = *MakePipe();
  SpawnOptions options = Shell("cut -d' ' -f1,5,6 /proc/$$/stat");
  options.new_session = true;
  options.fds = {{out.write.get(), 1}};
  Process process = *Spawn(options);
  out.write.Reset();
  const auto pid = process.pid();
  EXPECT_EQ(*ReadAll(out.read.get(), 100), StrCat(pid, " ", pid, " ", pid, "\n"));
}

TEST(RunTest, GivesInputAndTakesBothOutputs) {
  RunOptions options = RunOf("cat; echo oops >&2; exit 2");
  options.input = std::string(300000, 'i');  // more than a pipe holds
  RunOutput output = *os::Run(options);
  EXPECT_EQ(output.out, options.input);
  EXPECT_EQ(output.err, "oops\n");
  EXPECT_EQ(output.status.code, 2);
}

TEST(RunTest, InputThatNobodyReadsDoesNoHarm) {
  RunOptions options = RunOf("exit 0");
  options.input = std::string(300000, 'i');
  EXPECT_TRUE(os::Run(options)->status.ok());
}

TEST(RunTest, TimeoutKillsTheWholeGroup) {
  const size_t before = CountFds();
  TempDir temp = *TempDir::Make();
  RunOptions options = RunOf("sleep 600 & echo $! > " + temp.path() + "/pid; wait");
  options.timeout = milliseconds(300);
  Result<RunOutput> output = os::Run(options);
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(output.error().message(), HasSubstr("no end within 300 ms"));
  const std::string text = *temp.dir().ReadFile("pid", 100);
  const int64_t pid = *ParseInt(TrimSpace(text), 2, 1 << 30, "pid");
  bool gone = false;
  for (int i = 0; i < 200 && !gone; ++i) {
    // An orphan may stay a zombie until init reaps it; dead is dead.
    Result<DirFd> proc = DirFd::OpenTrusted(StrCat("/proc/", pid));
    Result<std::string> stat = proc ? proc->ReadFile("stat", 4096) : Result<std::string>("");
    gone = !stat || stat->empty() || stat->find(") Z ") != std::string::npos;
    ::usleep(10000);
  }
  EXPECT_TRUE(gone);
  EXPECT_EQ(CountFds(), before + 2);  // the TempDir's
}

TEST(RunTest, ARequestToStopKillsTheWholeGroupAtOnce) {
  const size_t before = CountFds();
  const auto start = std::chrono::steady_clock::now();
  std::stop_source stop;
  std::thread later([&stop] {
    ::usleep(100000);
    stop.request_stop();
  });
  Result<RunOutput> output = os::Run(RunOf("sleep 600 & sleep 600"), stop.get_token());
  later.join();
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code(), Code::kCancelled);
  EXPECT_EQ(output.error().message(), "run /bin/sh: cancelled");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_EQ(os::Run(RunOf("sleep 600"), stop.get_token()).error().code(), Code::kCancelled);
  EXPECT_EQ(os::Run(RunOf("echo x"), std::stop_source().get_token())->out, "x\n");
  EXPECT_EQ(CountFds(), before);
}

TEST(RunTest, DoesNotWaitForAGrandchildThatKeepsThePipe) {
  const auto start = std::chrono::steady_clock::now();
  RunOutput output = *RunShell("sleep 5 & echo done");
  EXPECT_EQ(output.out, "done\n");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
}

TEST(RunTest, TooMuchOutputIsAnErrorAndTooMuchErrorTextIsCut) {
  RunOptions options = RunOf("yes");
  options.output_limit = 1000;
  Result<RunOutput> output = os::Run(options);
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code(), Code::kResourceExhausted);
  options.spawn = Shell("head -c 500000 /dev/zero >&2; echo fine");
  options.error_limit = 10;
  RunOutput fine = *os::Run(options);
  EXPECT_EQ(fine.err.size(), 10U);
  EXPECT_EQ(fine.out, "fine\n");
}

TEST(RunTest, LastBytesBeforeTheEndAreNotLost) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(RunShell("head -c 60000 /dev/zero")->out.size(), 60000U);
}

TEST(RunTest, ChildHasOnlyStandardDescriptors) {
  Fd inherited(::open("/dev/null", O_RDONLY));
  EXPECT_EQ(RunShell("ls /proc/$$/fd; true")->out, "0\n1\n2\n");
}

}  // namespace
}  // namespace berth::os
