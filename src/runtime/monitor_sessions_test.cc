// SPDX-License-Identifier: Apache-2.0
// Sessions through the real berth-monitor: nothing of the daemon is needed once they have begun, and whoever vanishes
// leaves nothing behind.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/wire.h"
#include "os/netns.h"
#include "os/socket.h"
#include "runtime/testing/monitor_fixture.h"

namespace berth::runtime {
namespace {

using namespace std::chrono_literals;

class MonitorSessionsTest : public MonitorRuntimeTest {
 protected:
  SessionStreams StartExec(const std::string& script, StreamsWanted wanted = {true, true, true}) {
    Result<SessionStreams> session = runtime().StartExec({"s1", "c1", script, false}, wanted);
    EXPECT_TRUE(session) << session.error().message();
    return session ? std::move(*session) : SessionStreams();
  }
  SessionStreams Attach(const std::string& id, StreamsWanted wanted) {
    Result<SessionStreams> session = runtime().Attach("s1", id, wanted);
    EXPECT_TRUE(session) << session.error().message();
    return session ? std::move(*session) : SessionStreams();
  }
  static std::string ReadUntil(const os::Fd& fd, std::string_view wanted) {
    std::string text;
    char byte;
    while (text.find(wanted) == std::string::npos && ::read(fd.get(), &byte, 1) == 1) text += byte;
    return text;
  }
  // The exit code; -1 when the end came without one or nothing came within ten seconds.
  static int ReadResult(const os::Fd& result) {
    pollfd wait{result.get(), POLLIN, 0};
    if (::poll(&wait, 1, 10'000) != 1) return -1;
    Result<os::Message> message = os::ReceiveMessage(result.get(), 16, 0);
    if (!message || message->end) return -1;
    wire::Reader reader(message->bytes);
    return static_cast<int>(reader.U32().value_or(999));
  }
  bool MonitorHasFds(size_t count) {
    for (int i = 0; i < 250 && CountFds(monitor_) != count; ++i) ::usleep(20'000);
    return CountFds(monitor_) == count;
  }
};

TEST_F(MonitorSessionsTest, ExecGetsItsInputAndGivesItsOutputAndExitCode) {
  Run("c1", "exec sleep 1000");
  SessionStreams session = StartExec("read x; echo got $x; echo err >&2; exit 7");
  ASSERT_TRUE(os::WriteAll(session.std_in.get(), "hello\n"));
  EXPECT_EQ(ReadUntil(session.std_out, "\n"), "got hello\n");
  EXPECT_EQ(ReadUntil(session.std_err, "\n"), "err\n");
  EXPECT_EQ(ReadResult(session.result), 7);
  EXPECT_EQ(ReadUntil(session.std_out, "\n"), "");
}

TEST_F(MonitorSessionsTest, StreamsThatNobodyWantsAreTheNullDevice) {
  Run("c1", "exec sleep 1000");
  SessionStreams session = StartExec("cat; echo x >&2; echo done", {false, true, false});
  EXPECT_FALSE(session.std_in || session.std_err);
  EXPECT_EQ(ReadUntil(session.std_out, "\n"), "done\n");
  EXPECT_EQ(ReadResult(session.result), 0);
}

TEST_F(MonitorSessionsTest, ExecGoesOnWithoutTheDaemon) {
  Run("c1", "exec sleep 1000");
  SessionStreams session = StartExec("read x; echo got $x; exit 9");
  subject_.Drop();
  ASSERT_TRUE(os::WriteAll(session.std_in.get(), "hello\n"));
  EXPECT_EQ(ReadUntil(session.std_out, "\n"), "got hello\n");
  EXPECT_EQ(ReadResult(session.result), 9);
  subject_.Restart();
  runtime().SetEventSink(after_.Sink());
  EXPECT_TRUE(runtime().Observe());
}

TEST_F(MonitorSessionsTest, ExecThatIsKilledWithItsContainerSaysSo) {
  Run("c1", "exec sleep 1000");
  SessionStreams session = StartExec("exec sleep 1000");
  ASSERT_TRUE(runtime().KillAll("s1", "c1"));
  EXPECT_EQ(ReadResult(session.result), 128 + SIGKILL);
}

TEST_F(MonitorSessionsTest, ExecThatCannotStartIsAnErrorAndLeavesNothing) {
  Run("c1", "exec sleep 1000");
  const size_t before = CountFds(monitor_);
  Result<SessionStreams> session = runtime().StartExec({"s1", "c1", "#refuse\n", false}, {});
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code(), Code::kInternal);
  EXPECT_NE(session.error().message().find("executable not found"), std::string::npos)
      << session.error().message();
  EXPECT_TRUE(MonitorHasFds(before));
}

TEST_F(MonitorSessionsTest, ExecThatOutlivesItsClientLeavesNothingWhenItEnds) {
  Run("c1", "exec sleep 1000");
  const size_t before = CountFds(monitor_);
  for (int i = 0; i < 20; ++i) StartExec("cat > /dev/null; sleep 0.1");  // the streams end here
  EXPECT_TRUE(MonitorHasFds(before));
  EXPECT_TRUE(os::DirFd::OpenTrusted(subject_.state() + "/pods/s1/calls")->List()->empty());
}

TEST_F(MonitorSessionsTest, AttachedClientGetsOutputAndTheFirstStdinEndsTheContainersStdin) {
  CreateRequest request = subject_.Script("s1", "c1", "while read x; do echo got $x; done; exit 8");
  request.stdin_open = true;
  request.stdin_once = true;
  ASSERT_TRUE(runtime().Create(std::move(request)));
  ASSERT_TRUE(runtime().Start("s1", "c1"));
  SessionStreams first = Attach("c1", {true, true, false});
  ASSERT_TRUE(os::WriteAll(first.std_in.get(), "hello\n"));
  EXPECT_EQ(ReadUntil(first.std_out, "\n"), "got hello\n");
  SessionStreams second = Attach("c1", {true, false, false});
  EXPECT_FALSE(second.std_in);
  first.std_in.Reset();
  EXPECT_EQ(ReadUntil(first.std_out, "\n"), "");  // the container has ended
  EXPECT_EQ(ReadResult(first.result), 8);
  EXPECT_EQ(ReadResult(second.result), 8);
  EXPECT_NE(subject_.Log("c1").find("stdout F got hello"), std::string::npos);
}

TEST_F(MonitorSessionsTest, StdinStaysOpenForTheNextClientUnlessItIsForOne) {
  CreateRequest request = subject_.Script("s1", "c1", "while read x; do echo got $x; done; exit 8");
  request.stdin_open = true;
  ASSERT_TRUE(runtime().Create(std::move(request)));
  ASSERT_TRUE(runtime().Start("s1", "c1"));
  Attach("c1", {true, true, false});
  SessionStreams second = Attach("c1", {true, true, false});
  ASSERT_TRUE(os::WriteAll(second.std_in.get(), "again\n"));
  EXPECT_EQ(ReadUntil(second.std_out, "\n"), "got again\n");
}

TEST_F(MonitorSessionsTest, ClientThatNeverReadsIsDroppedAndTheLogGoesOn) {
  Run("c2", "sleep 0.5; head -c 6000000 /dev/zero; echo; echo end; exec sleep 1000");
  SessionStreams session = Attach("c2", {false, true, false});
  for (int i = 0; i < 400 && subject_.LogBytes("c2").find("F end\n") == std::string::npos; ++i)
    ::usleep(50'000);
  EXPECT_NE(subject_.LogBytes("c2").find("F end\n"), std::string::npos);
  EXPECT_LT(ReadUntil(session.std_out, "end").size(), 6'000'000U);
}

TEST_F(MonitorSessionsTest, AttachedClientsAreLimitedAndForgotten) {
  Run("c1", "exec sleep 1000");
  const size_t before = CountFds(monitor_);
  std::vector<SessionStreams> sessions;
  Result<SessionStreams> last = Error(Code::kInternal, "none");
  for (int i = 0; i < 100; ++i) {
    last = runtime().Attach("s1", "c1", {false, true, true});
    if (!last) break;
    sessions.push_back(std::move(*last));
  }
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code(), Code::kResourceExhausted) << last.error().message();
  EXPECT_GE(sessions.size(), 16U);
  sessions.clear();
  EXPECT_TRUE(MonitorHasFds(before));
  for (int i = 0; i < 200; ++i) Attach("c1", {false, true, true});
  EXPECT_TRUE(MonitorHasFds(before));
}

Result<os::Message> Ask(const os::Fd& dialer, std::string_view bytes) {
  TRY(os::SendMessage(dialer.get(), bytes));
  return os::ReceiveMessage(dialer.get(), 16, 1);
}
std::string FamilyPacket(uint32_t family) {
  wire::Writer w;
  w.U32(family);
  return w.Take();
}

class DialerTest : public MonitorSessionsTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    MonitorSessionsTest::SetUp();
    pins_.emplace(*os::NetNsPins::Open(subject_.temp().path() + "/netns"));
    ASSERT_TRUE(pins_->Create("n1", os::BringLoopbackUp));
  }
  void TearDown() override {
    if (!pins_) return;
    EXPECT_TRUE(pins_->Remove("n1"));
    EXPECT_TRUE(os::RemoveMountPoint(subject_.temp().path() + "/netns"));
    MonitorSessionsTest::TearDown();
  }
  os::Fd Netns() { return *pins_->OpenNs("n1"); }
  // A listener on the loopback address in the pod's namespace, and its port.
  std::pair<os::Fd, uint16_t> Listen() {
    os::Fd listener;
    sockaddr_in address{};
    EXPECT_TRUE(os::RunInNetNs(Netns().get(), [&]() -> Result<> {
      listener = os::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof address;
      if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) < 0 ||
          ::listen(listener.get(), 8) < 0 ||
          ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) < 0)
        return ErrnoError("listen");
      return Ok();
    }));
    return {std::move(listener), ntohs(address.sin_port)};
  }

  std::optional<os::NetNsPins> pins_;
};

TEST_F(DialerTest, MakesSocketsInThePodsNetworkNamespaceAlsoWithoutTheDaemon) {
  auto [listener, port] = Listen();
  Result<os::Fd> dialer = runtime().OpenDialer("s1", Netns());
  ASSERT_TRUE(dialer) << dialer.error().message();
  subject_.Drop();
  Result<os::Message> answer = Ask(*dialer, FamilyPacket(AF_INET));
  ASSERT_TRUE(answer && answer->bytes.size() == 4 && answer->fds.size() == 1);
  EXPECT_EQ(answer->bytes, FamilyPacket(0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(answer->fds[0].get(), reinterpret_cast<sockaddr*>(&address), sizeof address),
            0)
      << errno;
  answer = Ask(*dialer, FamilyPacket(AF_INET6));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->fds.size(), 1U);
  answer = Ask(*dialer, FamilyPacket(AF_NETLINK));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->bytes, FamilyPacket(EAFNOSUPPORT));
  EXPECT_TRUE(answer->fds.empty());
  subject_.Restart();
  runtime().SetEventSink(after_.Sink());
  EXPECT_TRUE(runtime().Observe());
}

TEST_F(DialerTest, WhatIsNoRequestEndsTheDialerAndNothingElse) {
  const size_t before = CountFds(monitor_);
  for (std::string_view bytes : {"x", "12345", "123456789"}) {
    Result<os::Fd> dialer = runtime().OpenDialer("s1", Netns());
    ASSERT_TRUE(dialer);
    Result<os::Message> answer = Ask(*dialer, bytes);
    EXPECT_TRUE(answer && answer->end) << bytes;
  }
  Result<os::Fd> closed = runtime().OpenDialer("s1", Netns());
  closed->Reset();
  EXPECT_TRUE(MonitorHasFds(before));
  EXPECT_TRUE(runtime().Create(subject_.Sleeper("s1", "c1")));
}

TEST_F(DialerTest, WhatIsNoNetworkNamespaceIsRefused) {
  Result<os::Fd> dialer = runtime().OpenDialer("s1", *os::MakeMemFile("x", "x"));
  ASSERT_FALSE(dialer);
  EXPECT_EQ(dialer.error().code(), Code::kInvalidArgument);
  EXPECT_NE(dialer.error().message().find("not a network namespace"), std::string::npos)
      << dialer.error().message();
}

}  // namespace
}  // namespace berth::runtime
