// SPDX-License-Identifier: Apache-2.0
#include "os/socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

namespace berth::os {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

size_t CountFds() { return DirFd::OpenTrusted("/proc/self/fd")->List()->size(); }

class SocketTest : public ::testing::TestWithParam<SocketType> {
 protected:
  TempDir temp_ = *TempDir::Make();
  const DirFd& dir_ = temp_.dir();
};
INSTANTIATE_TEST_SUITE_P(Types, SocketTest,
                         ::testing::Values(SocketType::kStream, SocketType::kSeqPacket));

TEST_P(SocketTest, BytesAndFdsArriveTogetherAndNothingLeaks) {
  const size_t before = CountFds();
  {
    SocketPair pair = *MakeSocketPair(GetParam());
    Pipe pipe = *MakePipe();
    const int fds[] = {pipe.read.get(), pipe.write.get()};
    ASSERT_TRUE(SendMessage(pair.a.get(), "hello", fds));
    Message message = *ReceiveMessage(pair.b.get(), 100, 2);
    EXPECT_EQ(message.bytes, "hello");
    EXPECT_FALSE(message.end);
    ASSERT_EQ(message.fds.size(), 2U);
    EXPECT_EQ(::fcntl(message.fds[0].get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    ASSERT_TRUE(WriteAll(message.fds[1].get(), "x"));
    char c = 0;
    EXPECT_EQ(::read(pipe.read.get(), &c, 1), 1);
    EXPECT_EQ(c, 'x');
  }
  EXPECT_EQ(CountFds(), before);
}

TEST_P(SocketTest, MoreFdsThanWantedIsAnErrorAndClosesThem) {
  SocketPair pair = *MakeSocketPair(GetParam());
  Pipe pipe = *MakePipe();
  const int fds[] = {pipe.read.get(), pipe.write.get()};
  const size_t before = CountFds();
  for (size_t wanted : {0U, 1U}) {  // room for one is, by alignment, room for two
    ASSERT_TRUE(SendMessage(pair.a.get(), "x", fds));
    Result<Message> message = ReceiveMessage(pair.b.get(), 100, wanted);
    ASSERT_FALSE(message);
    EXPECT_EQ(message.error().code(), Code::kResourceExhausted);
    EXPECT_EQ(CountFds(), before);
  }
}

TEST_P(SocketTest, EndOfPeerIsReported) {
  SocketPair pair = *MakeSocketPair(GetParam());
  pair.a.Reset();
  Message message = *ReceiveMessage(pair.b.get(), 100, 0);
  EXPECT_TRUE(message.end);
  Result<> sent = SendMessage(pair.b.get(), "x");  // must not raise SIGPIPE
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().sys_errno(), EPIPE);
}

TEST_P(SocketTest, FullBufferKeepsEagain) {
  SocketPair pair = *MakeSocketPair(GetParam());
  ASSERT_TRUE(SetNonBlocking(pair.a.get(), true));
  ASSERT_TRUE(SetNonBlocking(pair.b.get(), true));
  EXPECT_EQ(ReceiveMessage(pair.b.get(), 1, 0).error().sys_errno(), EAGAIN);
  const std::string block(4096, 'x');
  for (int i = 0; i < 10000; ++i) {
    Result<> sent = SendMessage(pair.a.get(), block);
    if (sent) continue;
    EXPECT_EQ(sent.error().sys_errno(), EAGAIN);
    return;
  }
  FAIL() << "never full";
}

TEST_P(SocketTest, ListenConnectAcceptAndCredentials) {
  Fd listener = *ListenUnix(dir_, "s", GetParam());
  EXPECT_EQ(dir_.Stat("s")->st_mode & 07777U, 0600U);
  EXPECT_THAT(*dir_.List(), UnorderedElementsAre("s"));
  Fd client = *ConnectUnix(dir_, "s", GetParam());
  Fd server = *Accept(listener.get());
  EXPECT_EQ(::fcntl(server.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  PeerCredentials peer = *GetPeer(server.get());
  EXPECT_EQ(peer.pid, ::getpid());
  EXPECT_EQ(peer.uid, ::geteuid());
  ASSERT_TRUE(SendMessage(client.get(), "hi"));
  EXPECT_EQ(ReceiveMessage(server.get(), 10, 0)->bytes, "hi");
}

TEST_P(SocketTest, OldSocketIsReplacedAndOtherFilesAreNot) {
  {
    Fd dead = *ListenUnix(dir_, "s", GetParam());
  }
  Result<Fd> refused = ConnectUnix(dir_, "s", GetParam());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnavailable);
  Fd live = *ListenUnix(dir_, "s", GetParam());
  EXPECT_TRUE(ConnectUnix(dir_, "s", GetParam()));
  ASSERT_TRUE(dir_.WriteFile("file", "precious", 0600));
  EXPECT_EQ(ListenUnix(dir_, "file", GetParam()).error().code(), Code::kAlreadyExists);
  EXPECT_EQ(*dir_.ReadFile("file", 100), "precious");
}

TEST_P(SocketTest, ConnectRefusesLinksFilesAndOtherNames) {
  Fd listener = *ListenUnix(dir_, "s", GetParam());
  ASSERT_EQ(::symlinkat("s", dir_.get(), "link"), 0);
  ASSERT_TRUE(dir_.WriteFile("file", "", 0600));
  EXPECT_EQ(ConnectUnix(dir_, "link", GetParam()).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(ConnectUnix(dir_, "file", GetParam()).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(ConnectUnix(dir_, "no", GetParam()).error().code(), Code::kNotFound);
  for (const char* name : {"", ".", "..", "a/b", "/s"})
    EXPECT_EQ(ConnectUnix(dir_, name, GetParam()).error().code(), Code::kInvalidArgument) << name;
}

TEST_P(SocketTest, AVeryLongDirectoryPathIsNoObstacle) {
  const std::string part(200, 'd');
  DirFd deep = *(*dir_.MakeDir(part, 0700)).MakeDir(part, 0700);
  Fd listener = *ListenUnix(deep, "s", GetParam());
  EXPECT_TRUE(ConnectUnix(deep, "s", GetParam()));
}

TEST(MessageTest, PacketLongerThanTheLimitIsAnErrorAndItsFdsAreClosed) {
  SocketPair pair = *MakeSocketPair(SocketType::kSeqPacket);
  Pipe pipe = *MakePipe();
  const size_t before = CountFds();
  const int fds[] = {pipe.read.get()};
  ASSERT_TRUE(SendMessage(pair.a.get(), "0123456789", fds));
  Result<Message> message = ReceiveMessage(pair.b.get(), 9, 1);
  ASSERT_FALSE(message);
  EXPECT_THAT(message.error().message(), HasSubstr("longer than 9 bytes"));
  EXPECT_EQ(CountFds(), before);
}

TEST(MessageTest, NothingToSendIsRefused) {
  SocketPair pair = *MakeSocketPair(SocketType::kSeqPacket);
  EXPECT_EQ(SendMessage(pair.a.get(), "").error().code(), Code::kInvalidArgument);
}

TEST(MessageTest, StreamsCarryMoreThanOneBuffer) {
  SocketPair pair = *MakeSocketPair(SocketType::kStream);
  ASSERT_TRUE(SendMessage(pair.a.get(), std::string(50000, 'x')));
  EXPECT_EQ(ReceiveMessage(pair.b.get(), 20000, 0)->bytes.size(), 20000U);
}

}  // namespace
}  // namespace berth::os
