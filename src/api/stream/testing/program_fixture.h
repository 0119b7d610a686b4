// SPDX-License-Identifier: Apache-2.0
// berth-stream without its sandbox, on a thread, with the test as berthd, monitor and client. At the end of each test
// nothing may be open that was not before. One thread besides the program's own.
#pragma once

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <future>
#include <set>
#include <thread>

#include "api/stream/program.h"
#include "api/stream/spdy_frame.h"
#include "api/stream/spdy_headers.h"
#include "api/stream/testing/recorder.h"
#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::stream {

inline std::set<std::string> OpenFds() {
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
  // `info`: with a listener for documents too, at info_port_.
  void StartProgram(ProgramOptions options = {}, bool info = false) {
    auto pair = os::MakeSocketPair(os::SocketType::kSeqPacket);
    ASSERT_TRUE(pair);
    daemon_ = std::move(pair->a);
    timeval limit{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(daemon_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    auto listener = Listen("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    os::Fd documents;
    if (info) {
      documents = std::move(*Listen("127.0.0.1", 0));
      info_port_ = *BoundPort(documents.get());
    }
    auto program =
        Program::Make(options, std::move(pair->b), std::move(*listener), std::move(documents));
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
    EXPECT_THAT(client->ReadHead(), testing::StartsWith("HTTP/1.1 101 "));
    deflater_ = std::move(*spdy::HeaderDeflater::Make());
    return client;
  }
  std::string Syn(uint32_t id, std::string_view type) {
    return SynOf(id, {{"streamtype", std::string(type)}});
  }
  std::string SynOf(uint32_t id, const spdy::Headers& headers) {
    const std::string block = *deflater_->Deflate(headers);
    std::string frame = EncodeControl(1, 0, 10 + block.size());
    StoreWord(frame, id);
    return frame + std::string(6, '\0') + block;
  }
  // Opens streams 1, 3, ... and takes their replies.
  void Open(Client& client, const std::vector<std::string>& types) {
    uint32_t id = 1;
    for (const std::string& type : types) {
      client.Send(Syn(id, type));
      ReadReply(client);
      id += 2;
    }
  }
  void ReadReply(Client& client) {
    const std::string head = client.Read(8);
    EXPECT_EQ(head.substr(0, 4), std::string("\x80\3\0\2", 4));
    client.Read(static_cast<unsigned char>(head[7]));
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
  uint16_t info_port_ = 0;
  os::Message last_;
  std::unique_ptr<spdy::HeaderDeflater> deflater_;
};

inline const Redeemed kAll = {
    .session = 9, .std_in = true, .std_out = true, .std_err = true, .terminal = false, .ports = {}};

}  // namespace berth::stream
