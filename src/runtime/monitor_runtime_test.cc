// SPDX-License-Identifier: Apache-2.0
// MonitorRuntime and the real berth-monitor, over an OCI runtime that is a shell script: needs no root.
#include "runtime/monitor_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stop_token>
#include <thread>

#include "base/strings.h"
#include "os/socket.h"
#include "runtime/testing/monitor_fixture.h"

namespace berth::runtime {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Fake, RuntimeContract, testing::Values(RuntimeFactory([] {
                           return std::make_unique<FakeSubject>();
                         })));
INSTANTIATE_TEST_SUITE_P(Monitor, RuntimeContract, testing::Values(RuntimeFactory([] {
                           return std::make_unique<ScriptSubject>();
                         })));

TEST_F(MonitorRuntimeTest, OutputIsInTheLogBeforeTheExitIsReported) {
  Run("c1", "echo out; echo err >&2; printf tail; exit 3");
  std::optional<ExitRecord> exit = events_.WaitExit("c1");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->exit_code, 3);
  const std::string log = subject_.Log("c1");
  EXPECT_NE(log.find(" stdout F out\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" stderr F err\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" stdout P tail\n"), std::string::npos) << log;
}

TEST_F(MonitorRuntimeTest, Rule27LogFileIsThereAfterCreate) {
  ASSERT_TRUE(runtime().Create(subject_.Sleeper("s1", "c1")));
  EXPECT_EQ(subject_.Log("c1"), "");
}

TEST_F(MonitorRuntimeTest, ReopenedLogIsWrittenUnderTheOldName) {
  Run("c1", "echo one; exec sleep 1000");
  const std::string dir = StrCat(subject_.state(), "/../logs/c1");
  os::DirFd logs = *os::DirFd::OpenTrusted(dir);
  for (int i = 0; i < 100 && subject_.Log("c1").empty(); ++i) ::usleep(20'000);
  ASSERT_TRUE(logs.Rename("0.log", "0.log.1", true));
  ASSERT_TRUE(runtime().ReopenLog("s1", "c1"));
  ASSERT_TRUE(runtime().KillAll("s1", "c1"));
  ASSERT_TRUE(events_.WaitExit("c1"));
  EXPECT_NE(logs.ReadFile("0.log.1", 1000)->find("one"), std::string::npos);
  EXPECT_EQ(*logs.ReadFile("0.log", 1000), "");
}

TEST_F(MonitorRuntimeTest, Rule29GrandchildThatKeepsThePipeDoesNotHoldTheExitBack) {
  Run("c1", "sleep 5 & exit 4");
  const auto before = std::chrono::steady_clock::now();
  std::optional<ExitRecord> exit = events_.WaitExit("c1");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->exit_code, 4);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 4s);
}

TEST_F(MonitorRuntimeTest, FailedCreateCarriesTheRuntimesWordsAndCanBeDeletedAndRepeated) {
  Result<int> created = runtime().Create(subject_.Script("s1", "c1", "#refuse\n"));
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code(), Code::kInternal);
  EXPECT_NE(created.error().message().find("crun create: no such \"program\""), std::string::npos)
      << created.error().message();
  ASSERT_TRUE(runtime().Delete("s1", "c1"));
  EXPECT_TRUE(runtime().Create(subject_.Sleeper("s1", "c1")));
}

TEST_F(MonitorRuntimeTest, CreateThatHangsIsKilledAfterItsTime) {
  CreateRequest request = subject_.Script("s1", "c1", "#hang\n");
  request.timeout = 500ms;
  Result<int> created = runtime().Create(std::move(request));
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code(), Code::kDeadlineExceeded) << created.error().message();
  EXPECT_TRUE(runtime().Delete("s1", "c1"));
}

TEST_F(MonitorRuntimeTest, FailedStartIsAnErrorAndThenAnExit) {
  ASSERT_TRUE(runtime().Create(subject_.Script("s1", "c1", "#nostart\n")));
  Result<> started = runtime().Start("s1", "c1");
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message().find("cannot start"), std::string::npos)
      << started.error().message();
  EXPECT_TRUE(events_.WaitExit("c1"));
}

TEST_F(MonitorRuntimeTest, ExecGivesOutputAndExitCode) {
  Run("c1", "exec sleep 1000");
  Result<ExecOutput> output = Exec("echo out; echo err >&2; exit 42");
  ASSERT_TRUE(output) << output.error().message();
  EXPECT_EQ(output->exit_code, 42);
  EXPECT_EQ(output->out, "out\n");
  EXPECT_EQ(output->err, "err\n");
  output = Exec("kill -9 $$");
  ASSERT_TRUE(output);
  EXPECT_EQ(output->exit_code, 137);
}

TEST_F(MonitorRuntimeTest, Rule29ExecOutputIsCutAndDrained) {
  Run("c1", "exec sleep 1000");
  Result<ExecOutput> output = Exec("head -c 1000000 /dev/zero; exit 5", 20s, 10);
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out.size(), 10U);
  EXPECT_EQ(output->exit_code, 5);
}

TEST_F(MonitorRuntimeTest, ExecOutputOfBothStreamsFitsTheLimitAndEachHasHalf) {
  Run("c1", "exec sleep 1000");
  constexpr const char* kErr = "head -c $1 /dev/zero | tr '\\0' e >&2";
  auto both = [&](int out, int err) {
    return Exec(StrCat("head -c ", out, " /dev/zero; set -- ", err, "; ", kErr), 20s, 100'000);
  };
  Result<ExecOutput> output = both(300'000, 300'000);
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out, std::string(50'000, '\0'));
  EXPECT_EQ(output->err, std::string(50'000, 'e'));
  output = both(300'000, 20'000);
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out.size(), 80'000U);
  EXPECT_EQ(output->err.size(), 20'000U);
  output = both(10, 300'000);
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out.size(), 10U);
  EXPECT_EQ(output->err.size(), 99'990U);
}

TEST_F(MonitorRuntimeTest, ExecThatTakesTooLongIsKilledWithItsChildren) {
  Run("c1", "exec sleep 1000");
  const std::string pids = StrCat(subject_.temp().path(), "/pids");
  Result<ExecOutput> output =
      Exec(StrCat("sleep 1000 & echo $! > ", pids, "; (sleep 1001 & echo $! >> ", pids, "); wait"),
           700ms);
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code(), Code::kDeadlineExceeded) << output.error().message();
  const std::string text = *subject_.temp().dir().ReadFile("pids", 100);
  int found = 0;
  for (std::string_view line : Split(TrimSpace(text), '\n')) {
    const int pid = static_cast<int>(*ParseInt(line, 1, INT32_MAX, "pid"));
    for (int i = 0; i < 100 && ::kill(pid, 0) == 0; ++i) ::usleep(20'000);
    EXPECT_NE(::kill(pid, 0), 0) << pid;
    ++found;
  }
  EXPECT_EQ(found, 2);
}

TEST_F(MonitorRuntimeTest, ExecWhoseClientHasGoneIsKilled) {
  Run("c1", "exec sleep 1000");
  const std::string pid_file = StrCat(subject_.temp().path(), "/pid");
  std::stop_source client;
  std::thread leaves([&] {
    for (int i = 0; i < 500 && !subject_.temp().dir().ReadFile("pid", 100); ++i) ::usleep(20'000);
    client.request_stop();
  });
  Result<ExecOutput> output =
      runtime().ExecSync({"s1", "c1",
                          StrCat("echo $$ > ", pid_file, ".new; mv ", pid_file, ".new ", pid_file,
                                 "; exec sleep 1000"),
                          false, client.get_token()},
                         0s, 100);
  leaves.join();
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code(), Code::kCancelled) << output.error().message();
  EXPECT_THAT(output.error().message(), HasSubstr("its client has gone"));
  const std::string text = *subject_.temp().dir().ReadFile("pid", 100);
  const int pid = static_cast<int>(*ParseInt(TrimSpace(text), 1, INT32_MAX, "pid"));
  for (int i = 0; i < 100 && ::kill(pid, 0) == 0; ++i) ::usleep(20'000);
  EXPECT_NE(::kill(pid, 0), 0) << pid;
}

TEST_F(MonitorRuntimeTest, ExecThatCannotStartIsAnError) {
  Run("c1", "exec sleep 1000");
  Result<ExecOutput> output = Exec("#refuse\n");
  ASSERT_FALSE(output);
  EXPECT_NE(output.error().message().find("executable not found"), std::string::npos);
}

TEST_F(MonitorRuntimeTest, ContainersAndMonitorSurviveARestartOfTheDaemon) {
  Run("c1", "exec sleep 1000");
  Run("c2", "read x < /nonexistent; exit 9");
  ASSERT_TRUE(events_.WaitExit("c2"));
  ASSERT_TRUE(runtime().Create(subject_.Sleeper("s1", "c3")));
  subject_.Restart();
  runtime().SetEventSink(after_.Sink());
  Result<std::vector<SandboxObservation>> seen = runtime().Observe();
  ASSERT_TRUE(seen) << seen.error().message();
  ASSERT_EQ(seen->size(), 1U);
  EXPECT_TRUE((*seen)[0].monitor_alive);
  ASSERT_TRUE((*seen)[0].handle);
  EXPECT_EQ((*seen)[0].handle->monitor_pid, monitor_);
  ASSERT_EQ((*seen)[0].containers.size(), 3U);
  EXPECT_EQ((*seen)[0].containers[0].phase, ContainerPhase::kRunning);
  EXPECT_EQ((*seen)[0].containers[1].phase, ContainerPhase::kExited);
  EXPECT_EQ((*seen)[0].containers[1].exit->exit_code, 9);
  EXPECT_EQ((*seen)[0].containers[2].phase, ContainerPhase::kCreated);
  ASSERT_TRUE(runtime().Signal("s1", "c1", SIGKILL));
  EXPECT_TRUE(after_.WaitExit("c1"));
  EXPECT_EQ(Exec("true").error().code(), Code::kFailedPrecondition);
}

TEST_F(MonitorRuntimeTest, DeadMonitorIsReportedAndItsExitsAreStillThere) {
  Run("c1", "exit 6");
  ASSERT_TRUE(events_.WaitExit("c1"));
  Run("c2", "exec sleep 1000");
  ASSERT_EQ(::kill(monitor_, SIGKILL), 0);
  EXPECT_TRUE(events_.WaitLost("s1"));
  Result<> signalled = runtime().Signal("s1", "c2", SIGTERM);
  ASSERT_FALSE(signalled);
  EXPECT_EQ(signalled.error().code(), Code::kUnavailable);
  Result<std::vector<SandboxObservation>> seen = runtime().Observe();
  ASSERT_TRUE(seen && seen->size() == 1);
  EXPECT_FALSE((*seen)[0].monitor_alive);
  ASSERT_EQ((*seen)[0].containers.size(), 1U);
  EXPECT_EQ((*seen)[0].containers[0].exit->exit_code, 6);
  EXPECT_TRUE(runtime().Delete("s1", "c2"));
}

TEST_F(MonitorRuntimeTest, AMonitorThatDoesNotAnswerASignalIsKilledAndReportedAsDead) {
  Run("c1", "exec sleep 1000");
  ASSERT_EQ(::kill(monitor_, SIGSTOP), 0);
  Result<> killed = runtime().KillAll("s1", "c1");
  ASSERT_FALSE(killed);
  EXPECT_EQ(killed.error().code(), Code::kUnavailable);
  EXPECT_THAT(killed.error().message(), HasSubstr("sandbox s1: its monitor does not answer"));
  EXPECT_TRUE(events_.WaitLost("s1"));
  Result<std::vector<SandboxObservation>> seen = runtime().Observe();
  ASSERT_TRUE(seen && seen->size() == 1);
  EXPECT_FALSE((*seen)[0].monitor_alive);
  EXPECT_TRUE(runtime().Delete("s1", "c1"));
}

TEST_F(MonitorRuntimeTest, NonsenseEndsTheConnectionAndNotTheMonitor) {
  os::DirFd pod = *os::DirFd::OpenTrusted(subject_.state() + "/pods/s1");
  for (const std::string& bytes :
       {std::string("x"), std::string(60'000, '\xff'), monitor::Packet(monitor::Type::kStart, 1)}) {
    os::Fd socket = *os::ConnectUnix(pod, monitor::kSocketName, os::SocketType::kSeqPacket);
    ASSERT_TRUE(os::SendMessage(socket.get(), bytes));
    Result<os::Message> answer = os::ReceiveMessage(socket.get(), 1000, 1);
    EXPECT_TRUE(!answer || answer->end);
  }
  // The connection of the daemon has not suffered.
  EXPECT_TRUE(runtime().Create(subject_.Sleeper("s1", "c1")));
}

// A second client of the monitor, as a daemon that has just started; the first is gone.
class MonitorClientTest : public MonitorRuntimeTest {
 protected:
  void Connect() {
    subject_.Drop();
    pod_ = *os::DirFd::OpenTrusted(subject_.state() + "/pods/s1");
    client_ = *MonitorClient::Connect(pod_, "s1", 5s);
    client_->Begin(loop_.get(), {[](const monitor::ContainerExited&) {}, [] {}, {}});
  }
  void TearDown() override {
    client_->Close();
    EXPECT_TRUE(client_->WaitLost(5s));
    loop_->Stop();
    thread_.join();
    subject_.Restart();
    EXPECT_TRUE(runtime().Observe());
    MonitorRuntimeTest::TearDown();
  }
  os::DirFd pod_;
  std::unique_ptr<os::EventLoop> loop_ = *os::EventLoop::Make();
  std::thread thread_{[this] { (void)loop_->Run(); }};
  std::shared_ptr<MonitorClient> client_;
};

TEST_F(MonitorClientTest, UnknownRequestIsUnimplemented) {
  Connect();
  Result<MonitorClient::Answer> answer =
      client_->Call(static_cast<monitor::Type>(77), CallLimits(5s));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::kUnimplemented);
}

TEST_F(MonitorRuntimeTest, ManyRoundsLeaveNothingInTheMonitor) {
  auto round = [&](int i) {
    const std::string id = StrCat("c", i);
    Run(id, "exec sleep 1000");
    EXPECT_TRUE(runtime().ExecSync({"s1", id, "exit 0", false}, 20s, 100));
    EXPECT_FALSE(runtime().ExecSync({"s1", id, "#refuse\n", false}, 20s, 100));
    EXPECT_TRUE(runtime().Delete("s1", id));
  };
  round(0);
  const size_t before = CountFds(monitor_);
  for (int i = 1; i < 6; ++i) round(i);
  EXPECT_EQ(CountFds(monitor_), before);
  EXPECT_TRUE(os::DirFd::OpenTrusted(subject_.state() + "/pods/s1/calls")->List()->empty());
}

}  // namespace
}  // namespace berth::runtime
