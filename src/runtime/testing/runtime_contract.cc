// SPDX-License-Identifier: Apache-2.0
#include "runtime/testing/runtime_contract.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "base/wire.h"
#include "os/socket.h"

namespace berth::runtime {

namespace {
constexpr std::chrono::seconds kPatience{10};
}

EventSink EventLog::Sink() {
  EventSink sink;
  sink.exited = [this](const ContainerExited& event) {
    state_.Lock()->exits.push_back(event);
    state_.NotifyAll();
  };
  sink.lost = [this](const MonitorLost& event) {
    state_.Lock()->lost.push_back(event.sandbox_id);
    state_.NotifyAll();
  };
  sink.answered = [this](const MonitorAnswered& event) {
    state_.Lock()->answered.push_back(event.observation);
    state_.NotifyAll();
  };
  return sink;
}

std::optional<SandboxObservation> EventLog::WaitAnswered(const std::string& sandbox_id) {
  auto state = state_.Lock();
  std::optional<SandboxObservation> found;
  state_.WaitFor(state, kPatience, [&](const State& s) {
    for (const SandboxObservation& one : s.answered)
      if (one.sandbox_id == sandbox_id) found = one;
    return found.has_value();
  });
  return found;
}

std::optional<ExitRecord> EventLog::WaitExit(const std::string& container_id) {
  auto state = state_.Lock();
  std::optional<ExitRecord> found;
  state_.WaitFor(state, kPatience, [&](const State& s) {
    for (const ContainerExited& exit : s.exits)
      if (exit.container_id == container_id) found = exit.exit;
    return found.has_value();
  });
  return found;
}

size_t EventLog::CountExits(const std::string& container_id) {
  auto state = state_.Lock();
  return static_cast<size_t>(std::count_if(
      state->exits.begin(), state->exits.end(),
      [&](const ContainerExited& exit) { return exit.container_id == container_id; }));
}

bool EventLog::WaitLost(const std::string& sandbox_id) {
  auto state = state_.Lock();
  return state_.WaitFor(state, kPatience, [&](const State& s) {
    return std::find(s.lost.begin(), s.lost.end(), sandbox_id) != s.lost.end();
  });
}

void RuntimeContract::SetUp() {
  subject_ = GetParam()();
  runtime().SetEventSink(events_.Sink());
}

void RuntimeContract::TearDown() {
  for (const char* id : {"s1", "s2"}) EXPECT_TRUE(runtime().StopSandbox(id));
  EXPECT_TRUE(subject_->Empty());
}

void RuntimeContract::StartSandbox(const std::string& id) {
  Result<SandboxHandle> handle = runtime().StartSandbox(subject_->Sandbox(id));
  ASSERT_TRUE(handle) << handle.error().message();
  EXPECT_GT(handle->monitor_pid, 0);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RuntimeContract);

template <class T>
void ExpectCode(const Result<T>& result, Code code) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), code) << result.error().message();
}

TEST_P(RuntimeContract, UnknownHandlerIsNotFound) {
  EXPECT_TRUE(runtime().ResolveHandler(""));
  ExpectCode(runtime().ResolveHandler("nosuch"), Code::kNotFound);
}

TEST_P(RuntimeContract, WhatIsNotThereCanBeStoppedAndDeleted) {
  EXPECT_TRUE(runtime().StopSandbox("s9"));
  EXPECT_TRUE(runtime().Delete("s9", "c9"));
  StartSandbox("s1");
  EXPECT_TRUE(runtime().Delete("s1", "c9"));
}

TEST_P(RuntimeContract, WhatIsNotThereIsNotFound) {
  ExpectCode(runtime().Create(subject_->Sleeper("s9", "c1")), Code::kNotFound);
  StartSandbox("s1");
  ExpectCode(runtime().Start("s1", "c9"), Code::kNotFound);
  ExpectCode(runtime().Signal("s1", "c9", SIGTERM), Code::kNotFound);
  ExpectCode(runtime().KillAll("s1", "c9"), Code::kNotFound);
  ExpectCode(runtime().Update("s1", "c9", "{}"), Code::kNotFound);
  ExpectCode(runtime().ReopenLog("s1", "c9"), Code::kNotFound);
}

TEST_P(RuntimeContract, SecondOfTheSameNameAlreadyExists) {
  StartSandbox("s1");
  ExpectCode(runtime().StartSandbox(subject_->Sandbox("s1")), Code::kAlreadyExists);
  ASSERT_TRUE(runtime().Create(subject_->Sleeper("s1", "c1")));
  ExpectCode(runtime().Create(subject_->Sleeper("s1", "c1")), Code::kAlreadyExists);
}

TEST_P(RuntimeContract, ContainerRunsThroughItsLife) {
  StartSandbox("s1");
  Result<int> pid = runtime().Create(subject_->Sleeper("s1", "c1"));
  ASSERT_TRUE(pid) << pid.error().message();
  EXPECT_GT(*pid, 0);
  ExpectCode(runtime().ReopenLog("s1", "c1"), Code::kFailedPrecondition);
  EXPECT_TRUE(runtime().Update("s1", "c1", R"({"cpu":{"shares":2}})"));
  ASSERT_TRUE(runtime().Start("s1", "c1"));
  EXPECT_TRUE(runtime().Update("s1", "c1", R"({"cpu":{"shares":3}})"));
  ExpectCode(runtime().Start("s1", "c1"), Code::kFailedPrecondition);
  EXPECT_TRUE(runtime().ReopenLog("s1", "c1"));
  ASSERT_TRUE(runtime().Signal("s1", "c1", SIGTERM));
  std::optional<ExitRecord> exit = events_.WaitExit("c1");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->exit_code, 128 + SIGTERM);
  EXPECT_EQ(exit->signal, SIGTERM);
  EXPECT_GT(exit->finished_at, 0);
  EXPECT_TRUE(runtime().Signal("s1", "c1", SIGTERM));
  ExpectCode(runtime().ReopenLog("s1", "c1"), Code::kFailedPrecondition);
  ASSERT_TRUE(runtime().Delete("s1", "c1"));
  EXPECT_TRUE(runtime().Delete("s1", "c1"));
  ExpectCode(runtime().Signal("s1", "c1", SIGTERM), Code::kNotFound);
  EXPECT_EQ(events_.CountExits("c1"), 1U);
}

TEST_P(RuntimeContract, ExitCodeIsReported) {
  StartSandbox("s1");
  ASSERT_TRUE(runtime().Create(subject_->Quitter("s1", "c1", 7)));
  ASSERT_TRUE(runtime().Start("s1", "c1"));
  subject_->LetQuit("c1", 7);
  std::optional<ExitRecord> exit = events_.WaitExit("c1");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->exit_code, 7);
  EXPECT_EQ(exit->signal, 0);
  EXPECT_FALSE(exit->oom_killed);
}

TEST_P(RuntimeContract, RunningContainerCanBeKilledAndDeleted) {
  StartSandbox("s1");
  for (const char* id : {"c1", "c2"}) {
    ASSERT_TRUE(runtime().Create(subject_->Sleeper("s1", id)));
    ASSERT_TRUE(runtime().Start("s1", id));
  }
  ASSERT_TRUE(runtime().KillAll("s1", "c1"));
  ASSERT_TRUE(events_.WaitExit("c1"));
  EXPECT_EQ(events_.WaitExit("c1")->exit_code, 128 + SIGKILL);
  ASSERT_TRUE(runtime().Delete("s1", "c2"));
  ASSERT_TRUE(events_.WaitExit("c2"));
  EXPECT_EQ(events_.WaitExit("c2")->signal, SIGKILL);
}

TEST_P(RuntimeContract, ExecNeedsARunningContainer) {
  StartSandbox("s1");
  ASSERT_TRUE(runtime().Create(subject_->Sleeper("s1", "c1")));
  ExpectCode(runtime().ExecSync({"s1", "c1", "{}", false}, std::chrono::seconds(5), 100),
             Code::kFailedPrecondition);
  ExpectCode(runtime().ExecSync({"s1", "c9", "{}", false}, std::chrono::seconds(5), 100),
             Code::kNotFound);
}

// What a session's carrier reads last: the exit code, then the end.
void ExpectResult(const os::Fd& result, uint32_t code) {
  Result<os::Message> message = os::ReceiveMessage(result.get(), 16, 0);
  ASSERT_TRUE(message) << message.error().message();
  wire::Reader reader(message->bytes);
  Result<uint32_t> got = reader.U32();
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(*got, code);
  Result<os::Message> end = os::ReceiveMessage(result.get(), 16, 0);
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->end);
}

TEST_P(RuntimeContract, ExecSessionGivesItsStreamsAndTheExitCode) {
  StartSandbox("s1");
  ASSERT_TRUE(runtime().Create(subject_->Sleeper("s1", "c1")));
  ASSERT_TRUE(runtime().Start("s1", "c1"));
  Result<SessionStreams> session =
      runtime().StartExec(subject_->Exec("s1", "c1", 5), {true, true, false});
  ASSERT_TRUE(session) << session.error().message();
  EXPECT_TRUE(session->std_in && session->std_out && session->result);
  EXPECT_FALSE(session->std_err || session->terminal);
  subject_->LetExecEnd(5);
  ExpectResult(session->result, 5);
  char byte;
  EXPECT_EQ(::read(session->std_out.get(), &byte, 1), 0);
}

TEST_P(RuntimeContract, AttachSessionEndsWithItsContainer) {
  StartSandbox("s1");
  CreateRequest request = subject_->Sleeper("s1", "c1");
  request.stdin_open = true;
  ASSERT_TRUE(runtime().Create(std::move(request)));
  ASSERT_TRUE(runtime().Start("s1", "c1"));
  Result<SessionStreams> session = runtime().Attach("s1", "c1", {true, true, true});
  ASSERT_TRUE(session) << session.error().message();
  EXPECT_TRUE(session->std_in && session->std_out && session->std_err && session->result);
  EXPECT_FALSE(session->terminal);
  ASSERT_TRUE(runtime().KillAll("s1", "c1"));
  ExpectResult(session->result, 128 + SIGKILL);
  char byte;
  EXPECT_EQ(::read(session->std_out.get(), &byte, 1), 0);
  EXPECT_EQ(::read(session->std_err.get(), &byte, 1), 0);
  ExpectCode(runtime().Attach("s1", "c1", {true, true, true}), Code::kFailedPrecondition);
}

TEST_P(RuntimeContract, SessionsNeedWhatTheyAreOf) {
  ExpectCode(runtime().StartExec(subject_->Exec("s9", "c1", 0), {}), Code::kNotFound);
  ExpectCode(runtime().Attach("s9", "c1", {}), Code::kNotFound);
  ExpectCode(runtime().OpenDialer("s9", {}), Code::kNotFound);
  StartSandbox("s1");
  ExpectCode(runtime().StartExec(subject_->Exec("s1", "c9", 0), {}), Code::kNotFound);
  ExpectCode(runtime().Attach("s1", "c9", {}), Code::kNotFound);
  ASSERT_TRUE(runtime().Create(subject_->Sleeper("s1", "c1")));
  ExpectCode(runtime().StartExec(subject_->Exec("s1", "c1", 0), {}), Code::kFailedPrecondition);
  ExpectCode(runtime().Attach("s1", "c1", {}), Code::kFailedPrecondition);
}

TEST_P(RuntimeContract, DialerEndsWithItsSandbox) {
  StartSandbox("s1");
  Result<os::Fd> dialer = runtime().OpenDialer("s1", {});
  ASSERT_TRUE(dialer) << dialer.error().message();
  ASSERT_TRUE(runtime().StopSandbox("s1"));
  Result<os::Message> end = os::ReceiveMessage(dialer->get(), 16, 1);
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->end);
}

TEST_P(RuntimeContract, StoppingASandboxTakesItsContainersAlong) {
  StartSandbox("s1");
  StartSandbox("s2");
  ASSERT_TRUE(runtime().Create(subject_->Sleeper("s1", "c1")));
  ASSERT_TRUE(runtime().Start("s1", "c1"));
  ASSERT_TRUE(runtime().Create(subject_->Sleeper("s2", "c2")));
  ASSERT_TRUE(runtime().StopSandbox("s1"));
  ExpectCode(runtime().Start("s1", "c1"), Code::kNotFound);
  EXPECT_TRUE(runtime().Start("s2", "c2"));
  EXPECT_TRUE(runtime().StopSandbox("s1"));
}

}  // namespace berth::runtime
