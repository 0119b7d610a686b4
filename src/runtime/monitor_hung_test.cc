// SPDX-License-Identifier: Apache-2.0
// Monitors that do not answer (SIGSTOP), over the scripted OCI runtime: needs no root.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <future>
#include <stop_token>
#include <thread>
#include <vector>

#include "monitor/protocol.h"
#include "os/socket.h"
#include "runtime/testing/monitor_fixture.h"

namespace berth::runtime {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

constexpr const char* kSilent = "sandbox s1: its monitor does not answer";

class HungMonitorTest : public MonitorRuntimeTest {
 protected:
  // The daemon's next start finds it stopped.
  SandboxObservation RestartWithStoppedMonitor() {
    EXPECT_EQ(::kill(monitor_, SIGSTOP), 0);
    subject_.Restart();
    runtime().SetEventSink(after_.Sink());
    const auto before = steady_clock::now();
    Result<std::vector<SandboxObservation>> seen = runtime().Observe();
    EXPECT_LT(steady_clock::now() - before, 3s);
    EXPECT_TRUE(seen) << seen.error().message();
    if (!seen || seen->empty()) return {};
    return seen->at(0);
  }
  void Continue() { ASSERT_EQ(::kill(monitor_, SIGCONT), 0); }
  // The test has started it, so that it can be waited for.
  bool MonitorHasEnded() {
    for (int i = 0; i < 250; ++i) {
      if (::waitpid(monitor_, nullptr, WNOHANG) == monitor_) return true;
      ::usleep(20'000);
    }
    return false;
  }
  static void ExpectSilent(const Error& error) {
    EXPECT_EQ(error.code(), Code::kDeadlineExceeded) << error.message();
    EXPECT_THAT(error.message(), HasSubstr(kSilent));
  }
};

TEST_F(HungMonitorTest, OneThatHangsAtAStartIsAdoptedWhenItAnswers) {
  Run("c1", "exec sleep 1000");
  Run("c2", "exec sleep 1000");
  const int ends = *runtime().Create(subject_.Sleeper("s1", "c3"));
  const SandboxObservation seen = RestartWithStoppedMonitor();
  EXPECT_TRUE(seen.unanswered);
  EXPECT_FALSE(seen.monitor_alive);
  EXPECT_TRUE(seen.containers.empty());
  // Refused at once, and told why.
  const auto before = steady_clock::now();
  ExpectSilent(Exec("true").error());
  ExpectSilent(runtime().ReopenLog("s1", "c1").error());
  ExpectSilent(runtime().Update("s1", "c1", "{}").error());
  ExpectSilent(runtime().Create(subject_.Sleeper("s1", "c4")).error());
  ExpectSilent(runtime().Delete("s1", "c1").error());
  EXPECT_LT(steady_clock::now() - before, 1s);
  ASSERT_EQ(::kill(ends, SIGKILL), 0);
  Continue();
  std::optional<SandboxObservation> told = after_.WaitAnswered("s1");
  ASSERT_TRUE(told);
  EXPECT_TRUE(told->monitor_alive);
  ASSERT_TRUE(told->handle);
  EXPECT_EQ(told->handle->monitor_pid, monitor_);
  ASSERT_EQ(told->containers.size(), 3U);
  EXPECT_EQ(told->containers[0].phase, ContainerPhase::kRunning);
  EXPECT_TRUE(after_.WaitExit("c3"));
  EXPECT_EQ(Exec("exit 4")->exit_code, 4);
  EXPECT_TRUE(runtime().ReopenLog("s1", "c1"));
  EXPECT_TRUE(runtime().Delete("s1", "c2"));
  EXPECT_TRUE(runtime().Signal("s1", "c1", SIGKILL));
  EXPECT_TRUE(after_.WaitExit("c1"));
}

TEST_F(HungMonitorTest, ManyThatHangAreWaitedForTogether) {
  std::vector<int> monitors{monitor_};
  for (const char* id : {"s2", "s3", "s4"})
    monitors.push_back(runtime().StartSandbox(subject_.Sandbox(id))->monitor_pid);
  for (size_t i = 1; i < 3; ++i) ASSERT_EQ(::kill(monitors[i], SIGSTOP), 0);
  (void)RestartWithStoppedMonitor();
  // One of them answers, and it alone works.
  EXPECT_TRUE(runtime().Create(subject_.Sleeper("s4", "c4")));
  for (size_t i = 0; i < 3; ++i) ASSERT_EQ(::kill(monitors[i], SIGCONT), 0);
  for (const char* id : {"s1", "s2", "s3"}) EXPECT_TRUE(after_.WaitAnswered(id)) << id;
  for (const char* id : {"s2", "s3", "s4"}) EXPECT_TRUE(runtime().StopSandbox(id));
}

TEST_F(HungMonitorTest, OneThatHangsAtAStartIsKilledWithItsPod) {
  Run("c1", "exec sleep 1000");
  EXPECT_TRUE(RestartWithStoppedMonitor().unanswered);
  EXPECT_TRUE(runtime().StopSandbox("s1"));
  EXPECT_TRUE(MonitorHasEnded());
}

TEST_F(HungMonitorTest, OneThatHangsAtAStartIsKilledWhenItDoesNotTakeASignal) {
  Run("c1", "exec sleep 1000");
  EXPECT_TRUE(RestartWithStoppedMonitor().unanswered);
  Result<> sent = runtime().Signal("s1", "c1", SIGTERM);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code(), Code::kUnavailable);
  EXPECT_THAT(sent.error().message(), HasSubstr(kSilent));
  EXPECT_TRUE(after_.WaitLost("s1"));
  EXPECT_TRUE(MonitorHasEnded());
  EXPECT_TRUE(runtime().Delete("s1", "c1"));
}

TEST_F(HungMonitorTest, OneThatDiesUnansweredIsReportedAsDead) {
  Run("c1", "exit 6");
  ASSERT_TRUE(events_.WaitExit("c1"));
  const SandboxObservation seen = RestartWithStoppedMonitor();
  ASSERT_EQ(seen.containers.size(), 1U);
  EXPECT_EQ(seen.containers[0].exit->exit_code, 6);
  ASSERT_EQ(::kill(monitor_, SIGKILL), 0);
  EXPECT_TRUE(after_.WaitLost("s1"));
}

TEST_F(HungMonitorTest, OneWithTooManyConnectionsWaitingIsTriedAgain) {
  Run("c1", "exec sleep 1000");
  ASSERT_EQ(::kill(monitor_, SIGSTOP), 0);
  std::vector<os::Fd> others;
  {
    const os::DirFd pod = *os::DirFd::OpenTrusted(subject_.state() + "/pods/s1");
    for (;;) {
      Result<os::Fd> one =
          os::ConnectUnix(pod, monitor::kSocketName, os::SocketType::kSeqPacket, 1ms);
      if (!one) break;
      others.push_back(std::move(*one));
    }
  }
  EXPECT_GT(others.size(), 10U);
  EXPECT_TRUE(RestartWithStoppedMonitor().unanswered);
  ExpectSilent(Exec("true").error());
  others.clear();
  Continue();
  ASSERT_TRUE(after_.WaitAnswered("s1"));
  EXPECT_EQ(Exec("exit 4")->exit_code, 4);
}

TEST_F(HungMonitorTest, OneWithTooManyConnectionsWaitingIsKilledWithItsPod) {
  Run("c1", "exec sleep 1000");
  ASSERT_EQ(::kill(monitor_, SIGSTOP), 0);
  std::vector<os::Fd> others;
  const os::DirFd pod = *os::DirFd::OpenTrusted(subject_.state() + "/pods/s1");
  for (int i = 0; i < 40; ++i) {
    Result<os::Fd> one =
        os::ConnectUnix(pod, monitor::kSocketName, os::SocketType::kSeqPacket, 1ms);
    if (one) others.push_back(std::move(*one));
  }
  EXPECT_TRUE(RestartWithStoppedMonitor().unanswered);
  EXPECT_TRUE(runtime().StopSandbox("s1"));
  EXPECT_TRUE(MonitorHasEnded());
}

TEST_F(HungMonitorTest, CallsOfOneThatStopsEndInTimeFurtherOnesAtOnceAndItGoesOnWhenItAnswers) {
  Run("c1", "exec sleep 1000");
  ASSERT_EQ(::kill(monitor_, SIGSTOP), 0);
  auto before = steady_clock::now();
  std::vector<std::future<Result<>>> calls;
  for (int i = 0; i < 80; ++i)
    calls.push_back(
        std::async(std::launch::async, [&] { return runtime().ReopenLog("s1", "c1"); }));
  for (auto& call : calls) ExpectSilent(call.get().error());
  EXPECT_LT(steady_clock::now() - before, 4s);
  before = steady_clock::now();
  ExpectSilent(runtime().ReopenLog("s1", "c1").error());
  ExpectSilent(Exec("true").error());
  EXPECT_LT(steady_clock::now() - before, 1s);
  Continue();
  Result<> again = Ok();
  for (int i = 0; i < 100; ++i) {
    again = runtime().ReopenLog("s1", "c1");
    if (again) break;
    ::usleep(20'000);
  }
  EXPECT_TRUE(again) << again.error().message();
  EXPECT_EQ(Exec("exit 4")->exit_code, 4);
}

TEST_F(HungMonitorTest, AClientThatGivesUpIsNotWaitedFor) {
  Run("c1", "exec sleep 1000");
  ASSERT_EQ(::kill(monitor_, SIGSTOP), 0);
  std::stop_source client;
  std::thread leaves([&] {
    ::usleep(200'000);
    client.request_stop();
  });
  const auto before = steady_clock::now();
  Result<> reopened = runtime().ReopenLog("s1", "c1", client.get_token());
  EXPECT_LT(steady_clock::now() - before, 1500ms);
  leaves.join();
  ASSERT_FALSE(reopened);
  EXPECT_EQ(reopened.error().code(), Code::kCancelled);
  EXPECT_THAT(reopened.error().message(), HasSubstr("its client has gone"));
  EXPECT_EQ(runtime().Update("s1", "c1", "{}", client.get_token()).error().code(),
            Code::kCancelled);
  EXPECT_EQ(
      runtime().ExecSync({"s1", "c1", "true", false, client.get_token()}, 0s, 10).error().code(),
      Code::kCancelled);
  Continue();
}

// An OCI runtime that takes its time is no monitor that hangs: it answers when it is asked in between.
TEST_F(HungMonitorTest, OneThatWaitsForItsOciRuntimeIsNotTakenForOneThatHangs) {
  CreateRequest request = subject_.Script("s1", "c1", "#hang\n");
  request.timeout = 5s;
  Result<int> created = runtime().Create(std::move(request));
  ASSERT_FALSE(created);
  EXPECT_THAT(created.error().message(), HasSubstr("took too long and was killed"));
  EXPECT_TRUE(runtime().Delete("s1", "c1"));
}

}  // namespace
}  // namespace berth::runtime
