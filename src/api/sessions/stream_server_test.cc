// SPDX-License-Identifier: Apache-2.0
// Keeping a real berth-stream running, over the engine's fakes. Needs root, since berth-stream gives its rights up.
#include "api/sessions/stream_server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/dir_fd.h"
#include "os/testing/leak_check.h"
#include "pod/testing/engine_world.h"

namespace berth::sessions {
namespace {

using namespace std::chrono_literals;

// Children of this process that are berth-streams.
std::vector<int> Children() {
  std::vector<int> found;
  DIR* dir = ::opendir("/proc");
  while (dirent* entry = ::readdir(dir)) {
    Result<int64_t> pid = ParseInt(entry->d_name, 1, INT32_MAX, "pid");
    if (!pid) continue;
    Result<os::DirFd> proc = os::DirFd::OpenTrusted(StrCat("/proc/", *pid));
    if (!proc) continue;
    Result<os::Fd> file = proc->Open("stat", O_RDONLY | O_CLOEXEC);
    Result<std::string> stat = file ? os::ReadAll(file->get(), 4096) : Result<std::string>("");
    const std::string parent = StrCat(" ", ::getpid(), " ");
    if (stat && stat->find("(berth-stream)") != std::string::npos &&
        stat->find(parent) != std::string::npos)
      found.push_back(static_cast<int>(*pid));
  }
  ::closedir(dir);
  return found;
}

class StreamServerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    options_.program = BERTH_BINARY_DIR "/bin/berth-stream";
    options_.first_backoff = 20ms;
  }
  void TearDown() override {
    server_.reset();
    EXPECT_EQ(Children(), std::vector<int>());
  }
  void Start() {
    auto started = StreamServer::Start(options_, *world_.engine, world_.clock);
    ASSERT_TRUE(started) << started.error().message();
    server_ = std::move(*started);
  }
  uint16_t PortOf(const std::string& url) {
    const size_t colon = url.rfind(':', url.find('/', 8));
    return static_cast<uint16_t>(
        *ParseInt(url.substr(colon + 1, url.find('/', 8) - colon - 1), 1, 65535, "port"));
  }
  // The answer's first line.
  std::string Get(const std::string& url) {
    os::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(PortOf(url));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) < 0) return "refused";
    const std::string path = url.substr(url.find('/', 8));
    (void)os::WriteAll(
        socket.get(),
        StrCat("GET ", path,
               " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
               "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"));
    std::string line;
    char byte;
    while (::recv(socket.get(), &byte, 1, 0) == 1 && byte != '\r') line += byte;
    return line;
  }

  pod::World world_;
  StreamServerOptions options_;
  std::unique_ptr<StreamServer> server_;
};

TEST_F(StreamServerTest, UrlIsGoodOnceAndOnlyForItsOwnCall) {
  Start();
  Result<> ready = server_->WaitReady(20s);
  ASSERT_TRUE(ready) << ready.error().message();
  EXPECT_TRUE(server_->Ready());
  const std::string pod = *world_.Run();
  Result<std::string> url = server_->Url(pod::PortForwardOptions{pod, {80}});
  ASSERT_TRUE(url) << url.error().message();
  EXPECT_TRUE(url->starts_with("http://127.0.0.1:")) << *url;
  EXPECT_NE(url->find("/portforward/"), std::string::npos) << *url;
  EXPECT_EQ(Get(*url), "HTTP/1.1 101 Switching Protocols");
  EXPECT_TRUE(Get(*url).starts_with("HTTP/1.1 404")) << Get(*url);
  std::string other = *server_->Url(pod::PortForwardOptions{pod, {80}});
  other.replace(other.find("/portforward/"), 13, "/exec/");
  EXPECT_TRUE(Get(other).starts_with("HTTP/1.1 404")) << Get(other);
}

TEST_F(StreamServerTest, OneThatDiesIsReplacedOnTheSamePort) {
  Start();
  ASSERT_TRUE(server_->WaitReady(20s));
  options_.port = PortOf(*server_->Url(pod::PortForwardOptions{"p", {}}));
  server_.reset();
  Start();
  ASSERT_TRUE(server_->WaitReady(20s));
  for (int i = 0; i < 2; ++i) {
    const std::vector<int> children = Children();
    ASSERT_EQ(children.size(), 1U);
    ASSERT_EQ(::kill(children[0], SIGKILL), 0);
    EXPECT_TRUE(world_.Eventually([&] {
      const std::vector<int> now = Children();
      return now.size() == 1 && now != children && server_->Ready();
    }));
    EXPECT_EQ(PortOf(*server_->Url(pod::PortForwardOptions{"p", {}})), options_.port);
  }
}

TEST_F(StreamServerTest, OneThatCannotStartIsTriedAgainAndSaysWhy) {
  options_.program = "/nonexistent/berth-stream";
  Start();
  Result<> ready = server_->WaitReady(20s);
  ASSERT_FALSE(ready);
  pod::ExpectError(ready.error(), Code::kUnavailable, "/nonexistent/berth-stream");
  Result<std::string> url = server_->Url(pod::PortForwardOptions{"p", {}});
  ASSERT_FALSE(url);
  pod::ExpectError(url.error(), Code::kUnavailable, "start berth-stream");
  server_.reset();
  // A port that is taken: its own words are the reason.
  os::Fd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(taken.get(), 1), 0);
  ASSERT_EQ(::getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  options_.program = BERTH_BINARY_DIR "/bin/berth-stream";
  options_.port = ntohs(address.sin_port);
  Start();
  ready = server_->WaitReady(20s);
  ASSERT_FALSE(ready);
  pod::ExpectError(ready.error(), Code::kUnavailable, StrCat("port ", options_.port));
  taken.Reset();
  EXPECT_TRUE(world_.Eventually([&] { return server_->Ready().has_value(); }));
}

TEST_F(StreamServerTest, NothingIsLeftOfManyStarts) {
  os::LeakCheck leaks;
  for (int i = 0; i < 5; ++i) {
    Start();
    EXPECT_TRUE(server_->WaitReady(20s));
    server_.reset();
  }
  EXPECT_EQ(leaks.Diff(), "");
}

TEST_F(StreamServerTest, HalfOfACertificateAndWrongAddressesAreRefused) {
  options_.tls_cert = "/c.pem";
  auto started = StreamServer::Start(options_, *world_.engine, world_.clock);
  ASSERT_FALSE(started);
  pod::ExpectError(started.error(), Code::kInvalidArgument, "tls_key");
  options_.tls_key = "k.pem";
  started = StreamServer::Start(options_, *world_.engine, world_.clock);
  ASSERT_FALSE(started);
  pod::ExpectError(started.error(), Code::kInvalidArgument, "not an absolute path");
  options_.tls_cert = options_.tls_key = "";
  options_.address = "localhost";
  started = StreamServer::Start(options_, *world_.engine, world_.clock);
  ASSERT_FALSE(started);
  pod::ExpectError(started.error(), Code::kInvalidArgument, "not an IP address");
}

}  // namespace
}  // namespace berth::sessions
