// SPDX-License-Identifier: Apache-2.0
// Port-forward through the whole of berth-stream but its sandbox, and the forms of exec that are not SPDY.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "api/stream/testing/program_fixture.h"
#include "api/stream/ws_frame.h"

namespace berth::stream {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kHandshake =
    " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

// A listener inside the "pod", which is this network namespace.
class Pod {
 public:
  Pod() : listener_(*Listen("127.0.0.1", 0)), port(*BoundPort(listener_.get())) {
    EXPECT_TRUE(os::SetNonBlocking(listener_.get(), false));
  }
  os::Fd Accept() { return std::move(*os::Accept(listener_.get())); }
  void Close() { listener_.Reset(); }

 private:
  os::Fd listener_;

 public:
  const uint16_t port;
};

class ForwardTest : public ProgramTest {
 protected:
  std::unique_ptr<Client> Forward() {
    auto client = std::make_unique<Client>(port_);
    client->Send(Request("/portforward/tok", "portforward.k8s.io"));
    Answer(OkReply(Expect(Type::kRedeem), Redeemed{.session = 5, .ports = {}}));
    EXPECT_THAT(client->ReadHead(), StartsWith("HTTP/1.1 101 "));
    deflater_ = std::move(*spdy::HeaderDeflater::Make());
    return client;
  }
  std::unique_ptr<Client> WebSocket(std::string_view path, std::string_view protocol,
                                    const Redeemed& redeemed) {
    auto client = std::make_unique<Client>(port_);
    client->Send(
        StrCat("GET ", path, kHandshake, "Sec-WebSocket-Protocol: ", protocol, "\r\n\r\n"));
    Answer(OkReply(Expect(Type::kRedeem), redeemed));
    EXPECT_THAT(client->ReadHead(), HasSubstr(StrCat("Sec-WebSocket-Protocol: ", protocol)));
    return client;
  }
  void OpenPair(Client& client, uint32_t first, uint16_t port) {
    uint32_t id = first;
    for (const char* type : {"error", "data"}) {
      client.Send(
          SynOf(id, {{"streamtype", type}, {"port", StrCat(port)}, {"requestid", StrCat(first)}}));
      ReadReply(client);
      id += 2;
    }
  }
  void AnswerDialer() {
    auto pair = *os::MakeSocketPair(os::SocketType::kSeqPacket);
    Begun begun;
    begun.has_dialer = true;
    Answer(OkReply(Expect(Type::kBegin), begun), {pair.b.get()});
    dialer_ = std::move(pair.a);
  }
  // As the monitor does: a socket of the family, or `err`.
  void AnswerDial(int family, int err = 0) {
    auto request = os::ReceiveMessage(dialer_.get(), 16, 0);
    ASSERT_TRUE(request);
    wire::Reader reader(request->bytes);
    EXPECT_EQ(*reader.U32(), static_cast<uint32_t>(family));
    wire::Writer writer;
    writer.U32(static_cast<uint32_t>(err));
    os::Fd made(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int fd = made.get();
    EXPECT_TRUE(os::SendMessage(dialer_.get(), writer.bytes(),
                                err == 0 ? std::span<const int>(&fd, 1) : std::span<const int>()));
  }
  static std::string Masked(std::string_view payload) {
    std::string out = ws::EncodeHead(ws::Opcode::kBinary, payload.size());
    out[1] = static_cast<char>(static_cast<uint8_t>(out[1]) | 0x80);
    return out.append(4, '\0').append(payload);
  }
  static std::string Message(std::string_view payload) {
    return ws::EncodeHead(ws::Opcode::kBinary, payload.size()).append(payload);
  }
  void TearDown() override {
    dialer_.Reset();
    ProgramTest::TearDown();
  }

  os::Fd dialer_;
};

TEST_F(ForwardTest, CopiesBothWaysWithHalfClose) {
  StartProgram();
  Pod pod;
  auto client = Forward();
  OpenPair(*client, 1, pod.port);
  client->Send(Frame(3, "early"));
  AnswerDialer();
  AnswerDial(AF_INET);
  os::Fd inside = pod.Accept();
  client->Send(Frame(3, " and late", true));
  EXPECT_EQ(*os::ReadAll(inside.get(), 100), "early and late");
  ASSERT_TRUE(os::WriteAll(inside.get(), "answer"));
  inside.Reset();
  EXPECT_EQ(client->Read(14), Frame(3, "answer"));
  EXPECT_EQ(client->Read(8), Frame(3, "", true));
  EXPECT_EQ(client->Read(8), Frame(1, "", true)) << "the error stream ends empty";
  client->Send(Frame(1, "", true) + spdy::EncodeGoAway(0, spdy::GoAwayStatus::kOk));
  EXPECT_EQ(client->ReadAll(), spdy::EncodeGoAway(3, spdy::GoAwayStatus::kOk));
  pod.Close();
}

TEST_F(ForwardTest, FallsBackToIpv6AndTellsBothFailures) {
  StartProgram();
  Pod pod;
  auto client = Forward();
  const uint16_t closed = pod.port;
  pod.Close();
  OpenPair(*client, 1, closed);
  AnswerDialer();
  AnswerDial(AF_INET);
  AnswerDial(AF_INET6, EAFNOSUPPORT);
  const std::string text = StrCat("connect to port ", closed,
                                  " inside the pod: 127.0.0.1: Connection refused, [::1]: Address "
                                  "family not supported by protocol");
  EXPECT_EQ(client->Read(8 + text.size()), Frame(1, text));
  EXPECT_EQ(client->Read(24),
            Frame(1, "", true) + spdy::EncodeRstStream(3, spdy::RstStatus::kCancel));
}

TEST_F(ForwardTest, APodThatIsGoneIsAnErrorOfEachPair) {
  StartProgram();
  auto client = Forward();
  OpenPair(*client, 1, 80);
  AnswerDialer();
  dialer_.Reset();
  EXPECT_EQ(client->Read(23), Frame(1, "the pod is gone"));
  client->Read(24);
  OpenPair(*client, 5, 80);
  EXPECT_EQ(client->Read(23), Frame(5, "the pod is gone"));
}

TEST_F(ForwardTest, ConnectionsAboveTheBudgetAreRefused) {
  ProgramOptions options;
  options.server.max_dials = 1;
  StartProgram(options);
  Pod pod;
  auto client = Forward();
  OpenPair(*client, 1, pod.port);
  AnswerDialer();
  AnswerDial(AF_INET);
  os::Fd inside = pod.Accept();
  OpenPair(*client, 5, pod.port);
  EXPECT_EQ(client->Read(36), Frame(5, "too many forwarded connections").substr(0, 36));
  client->Read(2 + 24);
  // The first one ends and makes room.
  client->Send(spdy::EncodeRstStream(3, spdy::RstStatus::kCancel));
  EXPECT_EQ(client->Read(8), Frame(1, "", true));
  OpenPair(*client, 9, pod.port);
  AnswerDial(AF_INET);
  pod.Close();
}

TEST_F(ForwardTest, HalfOfAPairIsGivenUpInTime) {
  ProgramOptions options;
  options.server.timeouts.creation = std::chrono::milliseconds(50);
  StartProgram(options);
  auto client = Forward();
  client->Send(SynOf(1, {{"streamtype", "error"}, {"port", "80"}, {"requestid", "0"}}));
  ReadReply(*client);
  const std::string text = "the other stream of the pair did not come";
  EXPECT_EQ(client->Read(8 + text.size()), Frame(1, text));
}

TEST_F(ForwardTest, StreamsWithoutAPortAreReset) {
  StartProgram();
  auto client = Forward();
  for (const spdy::Headers& bad :
       {spdy::Headers{{"streamtype", "data"}}, spdy::Headers{{"streamtype", "data"}, {"port", "0"}},
        spdy::Headers{{"streamtype", "other"}, {"port", "80"}}}) {
    static uint32_t id = 1;
    client->Send(SynOf(id, bad));
    EXPECT_EQ(client->Read(16), spdy::EncodeRstStream(id, spdy::RstStatus::kProtocolError));
    id += 2;
  }
}

TEST_F(ForwardTest, PlainWebSocketHasTwoChannelsForEachPort) {
  StartProgram();
  Pod pod;
  Redeemed redeemed;
  redeemed.session = 5;
  redeemed.ports = {pod.port};
  auto client = WebSocket("/portforward/tok", "v4.channel.k8s.io", redeemed);
  const std::string port = {static_cast<char>(pod.port & 0xff), static_cast<char>(pod.port >> 8)};
  EXPECT_EQ(client->Read(10), Message(std::string(1, '\0') + port) + Message("\x01" + port));
  AnswerDialer();
  AnswerDial(AF_INET);
  os::Fd inside = pod.Accept();
  client->Send(Masked(std::string("\0hello", 6)));
  char hello[5];
  ASSERT_EQ(::recv(inside.get(), hello, 5, MSG_WAITALL), 5);
  ASSERT_TRUE(os::WriteAll(inside.get(), "bye"));
  inside.Reset();
  EXPECT_EQ(client->ReadAll(), Message(std::string("\0bye", 4)) + ws::EncodeClose(1000));
  pod.Close();
}

TEST_F(ForwardTest, PlainWebSocketNeedsAPort) {
  StartProgram();
  Client client(port_);
  client.Send(StrCat("GET /portforward/tok", kHandshake, "\r\n"));
  Answer(OkReply(Expect(Type::kRedeem), Redeemed{.session = 5, .ports = {}}));
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 400 Bad Request"));
  Answer(OkReply(Expect(Type::kAbandon)));
}

TEST_F(ForwardTest, ExecOverWebSocketClosesStdinAndEndsWithAStatus) {
  StartProgram();
  auto client = WebSocket("/exec/tok", "v5.channel.k8s.io", kAll);
  EXPECT_EQ(client->Read(3), Message("\x01"));
  Process process = AnswerBegin();
  client->Send(Masked(std::string("\0in", 3)) + Masked(std::string("\xff\0", 2)));
  EXPECT_EQ(*os::ReadAll(process.std_in.get(), 100), "in");
  ASSERT_TRUE(os::WriteAll(process.std_err.get(), "err"));
  EXPECT_EQ(client->Read(6), Message("\x02"
                                     "err"));
  SendResult(process, 1);
  process = {};
  const std::string all = client->ReadAll();
  EXPECT_THAT(all, HasSubstr("\x03{\"metadata\":{},\"status\":\"Failure\""));
  EXPECT_THAT(all, EndsWith(ws::EncodeClose(1000)));
}

TEST_F(ForwardTest, ATerminalIsReadWrittenAndResized) {
  StartProgram();
  Redeemed redeemed = kAll;
  redeemed.std_err = false;
  redeemed.terminal = true;
  auto client = WebSocket("/exec/tok", "v5.channel.k8s.io", redeemed);
  client->Read(3);
  client->Send(Masked("\x04{\"Width\":100,\"Height\":40}"));
  os::Fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(master && ::grantpt(master.get()) == 0 && ::unlockpt(master.get()) == 0);
  char name[64];
  ASSERT_EQ(::ptsname_r(master.get(), name, sizeof name), 0);
  os::Fd slave(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  auto result = *os::MakeSocketPair(os::SocketType::kSeqPacket);
  Begun begun;
  begun.has_terminal = begun.has_result = true;
  Answer(OkReply(Expect(Type::kBegin), begun), {master.get(), result.b.get()});
  master.Reset();
  result.b.Reset();
  client->Send(Masked(std::string("\0typed\n", 7)));
  char line[16];
  const ssize_t n = ::read(slave.get(), line, sizeof line);
  EXPECT_EQ(std::string_view(line, n < 0 ? 0 : static_cast<size_t>(n)), "typed\n");
  winsize size{};
  ASSERT_EQ(::ioctl(slave.get(), TIOCGWINSZ, &size), 0);
  EXPECT_EQ(size.ws_col, 100);
  EXPECT_EQ(size.ws_row, 40);
  ASSERT_TRUE(os::WriteAll(slave.get(), "shown"));
  slave.Reset();  // the process has ended
  wire::Writer code;
  code.U32(0);
  ASSERT_TRUE(os::SendMessage(result.a.get(), code.bytes()));
  const std::string all = client->ReadAll();
  EXPECT_THAT(all, HasSubstr("shown"));
  EXPECT_THAT(all, HasSubstr("Success"));
}

}  // namespace
}  // namespace berth::stream
