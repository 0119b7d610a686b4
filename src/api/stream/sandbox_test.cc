// SPDX-License-Identifier: Apache-2.0
// The program itself: what it may not do, and how it says that it cannot start.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "api/stream/protocol.h"
#include "base/strings.h"
#include "os/confine.h"
#include "os/process.h"
#include "os/socket.h"

namespace berth::stream {
namespace {

using testing::HasSubstr;

struct Started {
  os::Process process;
  os::Fd daemon;
};

Started Start(std::vector<std::string> arguments) {
  auto pair = *os::MakeSocketPair(os::SocketType::kSeqPacket);
  os::SpawnOptions options;
  options.path = BERTH_STREAM_PROGRAM;
  options.args = std::move(arguments);
  options.args.insert(options.args.begin(), "berth-stream");
  options.fds = {{pair.b.get(), kDaemonFd}};
  auto process = os::Spawn(options);
  EXPECT_TRUE(process);
  return {std::move(*process), std::move(pair.a)};
}

std::string FailureOf(std::vector<std::string> arguments) {
  Started started = Start(std::move(arguments));
  auto message = os::ReceiveMessage(started.daemon.get(), kMaxPacket, 0);
  EXPECT_TRUE(message);
  wire::Reader reader(message->bytes);
  auto header = DecodeHeader(reader);
  EXPECT_TRUE(header && header->type == Type::kReply && header->id == 0);
  auto status = DecodeReplyStatus(reader);
  EXPECT_FALSE(status);
  EXPECT_EQ(started.process.Wait()->code, 1);
  return status ? std::string()
                : StrCat(CodeName(status.error().code()), ": ", status.error().message());
}

TEST(StreamProgram, HasNoPrivilegeAndNoFiles) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Started started = Start({"--uid=4321", "--gid=4322", "--port=0"});
  auto message = os::ReceiveMessage(started.daemon.get(), kMaxPacket, 0);
  ASSERT_TRUE(message);
  wire::Reader reader(message->bytes);
  Ready ready;
  ASSERT_TRUE(DecodeHeader(reader)->type == Type::kReady && Decode(reader, ready));
  EXPECT_FALSE(ready.tls);
  const auto proc = *os::DirFd::OpenTrusted(StrCat("/proc/", started.process.pid()));
  os::Fd status(::openat(proc.get(), "status", O_RDONLY | O_CLOEXEC));
  auto confined = os::CheckConfined(*os::ReadAll(status.get(), 1U << 16), 4321, 4322);
  EXPECT_TRUE(confined) << confined.error().message();
  os::Fd root(::openat(proc.get(), "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(root);
  EXPECT_TRUE(os::DirFd(std::move(root)).List()->empty());
  started.daemon.Reset();
  EXPECT_EQ(started.process.Wait()->code, 0) << "berthd's end is its end when it has no session";
}

TEST(StreamProgram, SaysWhyItCannotStart) {
  EXPECT_EQ(FailureOf({"--nonsense"}), "InvalidArgument: unknown argument \"--nonsense\"");
  EXPECT_THAT(FailureOf({"--port=70000"}), HasSubstr("InvalidArgument: --port"));
  EXPECT_THAT(FailureOf({"--uid=0"}), HasSubstr("InvalidArgument: --uid"));
  EXPECT_EQ(FailureOf({"--address=localhost"}),
            "InvalidArgument: stream address \"localhost\": not an IP address");
  EXPECT_THAT(FailureOf({"--address=203.0.113.77"}), HasSubstr("listen on 203.0.113.77 port 0"));
}

}  // namespace
}  // namespace berth::stream
