// SPDX-License-Identifier: Apache-2.0
// The whole of berth-stream but its sandbox, over real sockets: the test is berthd, the monitor and the client. At the
// end of each test nothing may be open that was not before.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <future>
#include <set>
#include <thread>

#include "api/stream/program.h"
#include "api/stream/spdy_frame.h"
#include "api/stream/spdy_headers.h"
#include "api/stream/testing/recorder.h"
#include "base/strings.h"

namespace berth::stream {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using namespace std::chrono_literals;

std::set<std::string> OpenFds() {
  std::set<std::string> names;
  DIR* dir = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(dir)) names.insert(entry->d_name);
  ::closedir(dir);
  return names;
}

// A blocking socket of the test, with a deadline on every read.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    timeval limit{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  void Send(std::string_view bytes) { EXPECT_TRUE(os::WriteAll(fd_.get(), bytes)); }
  // Everything until the other end closes.
  std::string ReadAll() {
    std::string all = std::move(held_);
    char piece[4096];
    ssize_t n;
    while ((n = ::recv(fd_.get(), piece, sizeof piece, 0)) > 0)
      all.append(piece, static_cast<size_t>(n));
    EXPECT_EQ(n, 0) << "no end: " << all.substr(0, 200);
    return all;
  }
  std::string Read(size_t size) {
    while (held_.size() < size) {
      char piece[4096];
      const ssize_t n = ::recv(fd_.get(), piece, sizeof piece, 0);
      if (n <= 0) {
        ADD_FAILURE() << "end before " << size << " bytes: " << held_;
        return {};
      }
      held_.append(piece, static_cast<size_t>(n));
    }
    std::string out = held_.substr(0, size);
    held_.erase(0, size);
    return out;
  }
  std::string ReadHead() {
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      std::string next = Read(1);
      if (next.empty()) break;
      head += next;
    }
    return head;
  }
  void Close() { fd_.Reset(); }
  void EndWriting() { ::shutdown(fd_.get(), SHUT_WR); }
  int fd() const { return fd_.get(); }

 private:
  os::Fd fd_;
  std::string held_;
};

class ProgramTest : public testing::Test {
 protected:
  void SetUp() override { before_ = OpenFds(); }
  void StartProgram(ProgramOptions options = {}) {
    auto pair = os::MakeSocketPair(os::SocketType::kSeqPacket);
    ASSERT_TRUE(pair);
    daemon_ = std::move(pair->a);
    timeval limit{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(daemon_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    auto listener = Listen("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    auto program = Program::Make(options, std::move(pair->b), std::move(*listener));
    ASSERT_TRUE(program);
    program_ = std::move(*program);
    thread_ = std::thread([this] { EXPECT_TRUE(program_->Run()); });
    wire::Reader body(Next().bytes);
    ASSERT_EQ(DecodeHeader(body)->type, Type::kReady);
    Ready said;
    ASSERT_TRUE(Decode(body, said));
    port_ = static_cast<uint16_t>(said.port);
  }
  void TearDown() override {
    daemon_.Reset();
    if (thread_.joinable()) thread_.join();
    program_.reset();
    EXPECT_EQ(OpenFds(), before_);
  }

  size_t Connections() {
    std::promise<size_t> answer;
    program_->loop().Post([&] { answer.set_value(program_->connections()); });
    return answer.get_future().get();
  }
  os::Message& Next() {
    auto message = os::ReceiveMessage(daemon_.get(), kMaxPacket, kMaxFds);
    EXPECT_TRUE(message) << message.error().message();
    last_ = message ? std::move(*message) : os::Message();
    return last_;
  }
  // The id of the next request, which must be of that type.
  uint64_t Expect(Type type) {
    wire::Reader reader(Next().bytes);
    auto header = DecodeHeader(reader);
    EXPECT_TRUE(header);
    if (!header) return 0;
    EXPECT_EQ(static_cast<int>(header->type), static_cast<int>(type));
    return header->id;
  }
  void Answer(std::string_view packet, const std::vector<int>& fds = {}) {
    EXPECT_TRUE(os::SendMessage(daemon_.get(), packet, fds));
  }
  static std::string Request(std::string_view path,
                             std::string_view protocol = "v4.channel.k8s.io") {
    return StrCat("POST ", path,
                  " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n",
                  "X-Stream-Protocol-Version: ", protocol, "\r\n\r\n");
  }
  // An upgraded client of an exec with these flags; redeemed as session 9.
  std::unique_ptr<Client> Exec(const Redeemed& redeemed, Kind kind = Kind::kExec) {
    auto client = std::make_unique<Client>(port_);
    client->Send(Request(kind == Kind::kExec ? "/exec/tok" : "/attach/tok"));
    const uint64_t id = Expect(Type::kRedeem);
    Answer(OkReply(id, redeemed));
    EXPECT_THAT(client->ReadHead(), StartsWith("HTTP/1.1 101 "));
    deflater_ = std::move(*spdy::HeaderDeflater::Make());
    return client;
  }
  std::string Syn(uint32_t id, std::string_view type) {
    const std::string block = *deflater_->Deflate({{"streamtype", std::string(type)}});
    std::string frame = EncodeControl(1, 0, 10 + block.size());
    StoreWord(frame, id);
    return frame + std::string(6, '\0') + block;
  }
  // Opens streams 1, 3, ... and takes their replies.
  void Open(Client& client, const std::vector<std::string>& types) {
    uint32_t id = 1;
    for (const std::string& type : types) {
      client.Send(Syn(id, type));
      const std::string head = client.Read(8);
      EXPECT_EQ(head.substr(0, 4), std::string("\x80\3\0\2", 4));
      client.Read(static_cast<unsigned char>(head[7]));
      id += 2;
    }
  }
  struct Process {  // the monitor's ends
    os::Fd std_in, std_out, std_err, result;
  };
  Process AnswerBegin(bool std_in = true) {
    const uint64_t id = Expect(Type::kBegin);
    Process process;
    auto in = *os::MakePipe();
    auto out = *os::MakePipe();
    auto err = *os::MakePipe();
    auto result = *os::MakeSocketPair(os::SocketType::kSeqPacket);
    Begun begun;
    begun.has_stdin = std_in;
    begun.has_stdout = begun.has_stderr = begun.has_result = true;
    std::vector<int> fds;
    if (std_in) fds.push_back(in.write.get());
    for (int fd : {out.read.get(), err.read.get(), result.b.get()}) fds.push_back(fd);
    Answer(OkReply(id, begun), fds);
    process.std_in = std::move(in.read);
    process.std_out = std::move(out.write);
    process.std_err = std::move(err.write);
    process.result = std::move(result.a);
    return process;
  }
  static void SendResult(Process& process, uint32_t code) {
    wire::Writer writer;
    writer.U32(code);
    EXPECT_TRUE(os::SendMessage(process.result.get(), writer.bytes()));
    process.result.Reset();
  }
  static std::string Frame(uint32_t id, std::string_view bytes, bool fin = false) {
    return spdy::EncodeDataHead(id, bytes.size(), fin).append(bytes);
  }

  std::set<std::string> before_;
  os::Fd daemon_;
  std::unique_ptr<Program> program_;
  std::thread thread_;
  uint16_t port_ = 0;
  os::Message last_;
  std::unique_ptr<spdy::HeaderDeflater> deflater_;
};

const Redeemed kAll = {
    .session = 9, .std_in = true, .std_out = true, .std_err = true, .terminal = false, .ports = {}};

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
  // Nobody new gets in.
  os::Fd late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port_);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_LT(::connect(late.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
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
  Client first(port_), second(port_), third(port_);
  EXPECT_THAT(third.ReadAll(), StartsWith("HTTP/1.1 503 Service Unavailable"));
  first.Close();
  third.Close();
  std::this_thread::sleep_for(100ms);
  Client fourth(port_);
  fourth.Send("GET /else HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(fourth.ReadAll(), StartsWith("HTTP/1.1 404 Not Found"));
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
