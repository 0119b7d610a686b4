// SPDX-License-Identifier: Apache-2.0
// Exec and attach through the whole of berth-stream but its sandbox, over real sockets.
#include <fcntl.h>
#include <poll.h>

#include "api/stream/testing/program_fixture.h"

namespace berth::stream {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using namespace std::chrono_literals;

TEST_F(ProgramTest, RefusesWhatIsNoRequestWithoutAskingTheDaemon) {
  StartProgram();
  for (const auto& [request, status] : std::vector<std::pair<std::string, std::string>>{
           {"nonsense\r\n\r\n", "400 Bad Request"},
           {"GET /exec/x HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request"},
           {"GET /else HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"},
           {"DELETE /exec/x HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed"}}) {
    Client client(port_);
    client.Send(request);
    EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 " + status));
  }
}

TEST_F(ProgramTest, AnUnknownTokenIs404) {
  StartProgram();
  Client client(port_);
  client.Send(Request("/attach/abc"));
  wire::Reader reader(Next().bytes);
  auto header = DecodeHeader(reader);
  Redeem redeem;
  ASSERT_TRUE(header && Decode(reader, redeem));
  EXPECT_EQ(redeem.kind, Kind::kAttach);
  EXPECT_EQ(redeem.token, "abc");
  Answer(ErrorReply(header->id, Error(Code::kNotFound, "no such token")));
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\nno such token\n"));
}

TEST_F(ProgramTest, ADocumentIsWhatBerthdSays) {
  StartProgram({}, true);
  Client client(info_port_);
  client.Send("GET /containers/abc HTTP/1.1\r\nHost: crio\r\n\r\n");
  wire::Reader reader(Next().bytes);
  auto header = DecodeHeader(reader);
  NodeInfo asked;
  ASSERT_TRUE(header && Decode(reader, asked));
  EXPECT_EQ(header->type, Type::kNodeInfo);
  EXPECT_EQ(asked.path, "/containers/abc");
  Answer(OkReply(header->id, Document{R"({"pid":1})"}));
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"));
  EXPECT_TRUE(answer.ends_with("Content-Length: 9\r\n\r\n{\"pid\":1}")) << answer;
}

TEST_F(ProgramTest, ADocumentThatIsNotThereIs404AndOnlyGetAsksForOne) {
  StartProgram({}, true);
  Client client(info_port_);
  client.Send("GET /else HTTP/1.1\r\nHost: crio\r\n\r\n");
  Answer(ErrorReply(Expect(Type::kNodeInfo), Error(Code::kNotFound, "nothing is there")));
  EXPECT_THAT(client.ReadAll(), HasSubstr("\r\n\r\nnothing is there\n"));
  Client post(info_port_);
  post.Send("POST /info HTTP/1.1\r\nHost: crio\r\n\r\n");
  EXPECT_THAT(post.ReadAll(), StartsWith("HTTP/1.1 405 Method Not Allowed\r\n"));
  // Sessions are not to be had there.
  Client exec(info_port_);
  exec.Send("GET /exec/abc HTTP/1.1\r\nHost: crio\r\n\r\n");
  Answer(ErrorReply(Expect(Type::kNodeInfo), Error(Code::kNotFound, "nothing is there")));
  EXPECT_THAT(exec.ReadAll(), StartsWith("HTTP/1.1 404 Not Found\r\n"));
}

TEST_F(ProgramTest, AnExecEndsWhenItsOutputIsReadAndItsCodeIsThere) {
  StartProgram();
  auto client = Exec(kAll);
  Open(*client, {"error", "stdin", "stdout", "stderr"});
  Process process = AnswerBegin();
  client->Send(Frame(3, "input", true));
  EXPECT_EQ(*os::ReadAll(process.std_in.get(), 100), "input");
  SendResult(process, 3);  // before its output
  ASSERT_TRUE(os::WriteAll(process.std_out.get(), "output"));
  process.std_out.Reset();
  ASSERT_TRUE(os::WriteAll(process.std_err.get(), "trouble"));
  process.std_err.Reset();
  const std::string all = client->ReadAll();
  EXPECT_THAT(all, HasSubstr(Frame(5, "output")));
  EXPECT_THAT(all, HasSubstr(Frame(7, "trouble")));
  EXPECT_THAT(all, HasSubstr(R"("reason":"ExitCode","message":"3")"));
  EXPECT_TRUE(all.ends_with(spdy::EncodeGoAway(7, spdy::GoAwayStatus::kOk)));
}

TEST_F(ProgramTest, TheMonitorsEndWithoutACodeIsAnError) {
  StartProgram();
  auto client = Exec(kAll);
  Open(*client, {"error", "stdin", "stdout", "stderr"});
  Process process = AnswerBegin();
  process = {};
  EXPECT_THAT(client->ReadAll(), HasSubstr("the exit code is lost: the pod's monitor went away"));
}

TEST_F(ProgramTest, TheMonitorsEndEndsAnExecWhoseProcessRunsOn) {
  StartProgram();
  auto client = Exec(kAll);
  Open(*client, {"error", "stdin", "stdout", "stderr"});
  Process process = AnswerBegin();
  process.result.Reset();
  EXPECT_THAT(client->ReadAll(), HasSubstr("the exit code is lost: the pod's monitor went away"));
  pollfd gone{process.std_out.get(), 0, 0};
  EXPECT_GT(::poll(&gone, 1, 10'000), 0);
}

TEST_F(ProgramTest, AClientThatGoesTakesTheFdsWithIt) {
  StartProgram();
  auto client = Exec(kAll);
  Open(*client, {"error", "stdin", "stdout", "stderr"});
  Process process = AnswerBegin();
  client->Close();
  EXPECT_EQ(*os::ReadAll(process.std_in.get(), 100), "");
  pollfd gone[] = {{process.std_out.get(), 0, 0}, {process.result.get(), POLLIN, 0}};
  EXPECT_GT(::poll(&gone[0], 1, 10'000), 0);
  EXPECT_NE(gone[0].revents & POLLERR, 0);
  EXPECT_GT(::poll(&gone[1], 1, 10'000), 0);
}

TEST_F(ProgramTest, AClientThatGoesBeforeItsStreamsIsAbandoned) {
  StartProgram();
  auto client = Exec(kAll);
  client->Close();
  const uint64_t id = Expect(Type::kAbandon);
  Answer(OkReply(id));
}

TEST_F(ProgramTest, AClientThatGoesWhileItsTokenIsRedeemedIsAbandoned) {
  StartProgram();
  auto client = std::make_unique<Client>(port_);
  client->Send(Request("/exec/abc"));
  const uint64_t id = Expect(Type::kRedeem);
  // A reset, which is noticed without reading.
  linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(client->fd(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  client->Close();
  std::this_thread::sleep_for(100ms);
  Answer(OkReply(id, kAll));
  Answer(OkReply(Expect(Type::kAbandon)));
}

TEST_F(ProgramTest, StreamsThatDoNotComeEndTheConnection) {
  ProgramOptions options;
  options.server.timeouts.creation = 50ms;
  StartProgram(options);
  auto client = Exec(kAll);
  Open(*client, {"error", "stdin"});
  EXPECT_EQ(client->ReadAll(), spdy::EncodeGoAway(3, spdy::GoAwayStatus::kOk));
  Answer(OkReply(Expect(Type::kAbandon)));
}

TEST_F(ProgramTest, ARequestThatDoesNotComeIs408) {
  ProgramOptions options;
  options.server.timeouts.head = 50ms;
  StartProgram(options);
  Client client(port_);
  client.Send("GET /");
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 408 Request Timeout"));
}

TEST_F(ProgramTest, AnIdleSessionEnds) {
  ProgramOptions options;
  options.server.timeouts.idle = 100ms;
  StartProgram(options);
  auto client = Exec(kAll);
  Open(*client, {"error", "stdin", "stdout", "stderr"});
  Process process = AnswerBegin();
  client->ReadAll();
  EXPECT_EQ(*os::ReadAll(process.std_in.get(), 100), "");
}

TEST_F(ProgramTest, ABeginThatFailsIsToldOnTheErrorStream) {
  StartProgram();
  auto client = Exec(kAll, Kind::kAttach);
  Open(*client, {"error", "stdin", "stdout", "stderr"});
  Answer(ErrorReply(Expect(Type::kBegin),
                    Error(Code::kFailedPrecondition, "container is not running")));
  const std::string all = client->ReadAll();
  EXPECT_THAT(all, HasSubstr("Internal error occurred: container is not running"));
  EXPECT_THAT(all, HasSubstr(R"("code":500)"));
}

TEST_F(ProgramTest, AnAttachEndsWithWhatItShows) {
  StartProgram();
  auto client = Exec(kAll, Kind::kAttach);
  Open(*client, {"error", "stdin", "stdout", "stderr"});
  Process process = AnswerBegin();
  process.std_out.Reset();
  process.std_err.Reset();
  EXPECT_THAT(client->ReadAll(), HasSubstr(R"("status":"Success")"));
}

TEST_F(ProgramTest, AClientThatDoesNotReadStopsTheProcessNotTheMemory) {
  StartProgram();
  auto client = Exec(kAll);
  Open(*client, {"error", "stdin", "stdout", "stderr"});
  Process process = AnswerBegin();
  ASSERT_TRUE(os::SetNonBlocking(process.std_out.get(), true));
  // What is taken stops long before this much, whatever the kernel's buffers are.
  const std::string piece(64U << 10, 'x');
  size_t taken = 0;
  for (int idle = 0; idle < 20 && taken < (64U << 20);) {
    const ssize_t n = ::write(process.std_out.get(), piece.data(), piece.size());
    if (n > 0)
      taken += static_cast<size_t>(n), idle = 0;
    else
      ++idle, std::this_thread::sleep_for(10ms);
  }
  EXPECT_LT(taken, 16U << 20);
  process.std_out.Reset();
  process.std_err.Reset();
  SendResult(process, 0);
  const std::string all = client->ReadAll();
  EXPECT_GE(all.size(), taken);
  EXPECT_THAT(all.substr(taken), HasSubstr("Success"));
}

TEST_F(ProgramTest, AProcessThatDoesNotReadStopsTheClient) {
  StartProgram();
  auto client = Exec(kAll);
  Open(*client, {"error", "stdin", "stdout", "stderr"});
  Process process = AnswerBegin();
  ASSERT_TRUE(os::SetNonBlocking(client->fd(), true));
  const std::string frame = Frame(3, std::string(32U << 10, 'x'));
  size_t sent = 0;
  for (int idle = 0; idle < 20 && sent < (64U << 20);) {
    // Only whole frames may stay in the stream of bytes: the rest of a short write goes first.
    const size_t at = sent % frame.size();
    const ssize_t n = ::send(client->fd(), frame.data() + at, frame.size() - at, MSG_NOSIGNAL);
    if (n > 0)
      sent += static_cast<size_t>(n), idle = 0;
    else
      ++idle, std::this_thread::sleep_for(10ms);
  }
  EXPECT_LT(sent, 32U << 20);
  // The process dies: what it did not read is dropped, and the session ends.
  process.std_in.Reset();
  process.std_out.Reset();
  process.std_err.Reset();
  SendResult(process, 137);
  ASSERT_TRUE(os::SetNonBlocking(client->fd(), false));
  EXPECT_THAT(client->ReadAll(), HasSubstr("exit status 137"));
}

TEST_F(ProgramTest, BerthdGoesAndTheSessionGoesOn) {
  StartProgram();
  auto client = Exec(kAll);
  Open(*client, {"error", "stdin", "stdout", "stderr"});
  Process process = AnswerBegin();
  daemon_.Reset();
  client->Send(Frame(3, "still here", true));
  EXPECT_EQ(*os::ReadAll(process.std_in.get(), 100), "still here");
  // Nobody new gets in, once it has noticed.
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port_);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool refused = false;
  for (int i = 0; i < 100 && !refused; ++i) {
    os::Fd late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    refused = ::connect(late.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) < 0;
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_TRUE(refused);
  process.std_out.Reset();
  process.std_err.Reset();
  SendResult(process, 0);
  EXPECT_THAT(client->ReadAll(), HasSubstr("Success"));
  client.reset();
  thread_.join();  // ends by itself
}

TEST_F(ProgramTest, ARedeemThatBerthdDoesNotAnswerIs503) {
  StartProgram();
  Client client(port_);
  client.Send(Request("/exec/abc"));
  Expect(Type::kRedeem);
  daemon_.Reset();
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 503 Service Unavailable"));
}

TEST_F(ProgramTest, MoreConnectionsThanAllowedAreToldSo) {
  ProgramOptions options;
  options.server.max_connections = 2;
  StartProgram(options);
  auto one = Exec(kAll);
  auto two = Exec(kAll);
  Client& first = *one;
  Client third(port_);
  EXPECT_THAT(third.ReadAll(), StartsWith("HTTP/1.1 503 Service Unavailable"));
  first.Close();
  third.Close();
  std::this_thread::sleep_for(100ms);
  Client fourth(port_);
  fourth.Send("GET /else HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(fourth.ReadAll(), StartsWith("HTTP/1.1 404 Not Found"));
}

TEST_F(ProgramTest, ClientsThatSendNoRequestDoNotShutOutOthers) {
  StartProgram();
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 1100; ++i) {
    idle.push_back(std::make_unique<Client>(port_));
    idle.back()->Send("GET /");
  }
  auto client = Exec(kAll);
  EXPECT_LE(Connections(), 501U);
  char byte;
  EXPECT_LE(::recv(idle.front()->fd(), &byte, 1, 0), 0) << "the oldest was closed";
  EXPECT_LT(::recv(idle.back()->fd(), &byte, 1, MSG_DONTWAIT), 0) << "the newest is open";
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ProgramTest, AHundredExecsThatEndInEveryOrderLeaveNothing) {
  StartProgram();
  for (int round = 0; round < 100; ++round) {
    auto client = Exec(kAll);
    Open(*client, {"error", "stdin", "stdout", "stderr"});
    Process process = AnswerBegin(round % 5 != 0);
    switch (round % 4) {
      case 0:
        client->Close();
        break;
      case 1:
        SendResult(process, 0);
        process = {};
        client->ReadAll();
        break;
      case 2:
        process = {};
        client->Close();
        break;
      default:
        client->Send("garbage that is no frame");
        client->ReadAll();
    }
  }
  for (int i = 0; i < 100 && Connections() != 0; ++i) std::this_thread::sleep_for(20ms);
  EXPECT_EQ(Connections(), 0U);
}

}  // namespace
}  // namespace berth::stream
