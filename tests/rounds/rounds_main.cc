// SPDX-License-Identifier: Apache-2.0
// A client that opens streaming sessions over WebSocket and leaves them, round after round:
//   berth-rounds ENDPOINT exec CONTAINER ROUNDS      an exec that outlives its client
//   berth-rounds ENDPOINT attach CONTAINER ROUNDS    an attach that is left open; nothing is read
//   berth-rounds ENDPOINT forward POD ROUNDS PORT    a port-forward; the port is expected to be closed
// Every second client leaves without a word, every second one after its first bytes came. One thread.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstdio>
#include <string>

#include "base/strings.h"
#include "cli/client.h"
#include "os/fd.h"

namespace berth {
namespace {

using Stub = runtime::v1::RuntimeService::Stub;

struct Address {
  uint16_t port = 0;
  std::string path;
};

Result<Address> ParseUrl(const std::string& url) {
  constexpr std::string_view kStart = "http://127.0.0.1:";
  if (!url.starts_with(kStart)) return Error(Code::kInternal, StrCat("address ", url));
  const size_t slash = url.find('/', kStart.size());
  if (slash == std::string::npos) return Error(Code::kInternal, StrCat("address ", url));
  Address address;
  address.port = static_cast<uint16_t>(
      TRY(ParseInt(url.substr(kStart.size(), slash - kStart.size()), 1, 65535, "port")));
  address.path = url.substr(slash);
  return address;
}

Result<os::Fd> Upgrade(const Address& address, const std::string& protocol) {
  os::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{.tv_sec = 30, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(address.port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) < 0)
    return ErrnoError("connect");
  const std::string request =
      StrCat("GET ", address.path, " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n",
             "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
             "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: ", protocol,
             "\r\n\r\n");
  if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size()))
    return ErrnoError("send");
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    char byte;
    if (::recv(socket.get(), &byte, 1, 0) != 1)
      return Error(Code::kInternal, StrCat("no answer: ", Quote(head)));
    head += byte;
  }
  if (!head.starts_with("HTTP/1.1 101"))
    return Error(Code::kInternal, StrCat("refused: ", Quote(head)));
  return socket;
}

Result<std::string> Url(cli::Client& client, const std::string& kind, const std::string& id,
                        int port) {
  if (kind == "exec") {
    runtime::v1::ExecRequest request;
    request.set_container_id(id);
    for (const char* word : {"sh", "-c", "echo x; sleep 0.1"}) request.add_cmd(word);
    request.set_stdout(true);
    return TRY(client.Do(client.runtime(), &Stub::Exec, request)).url();
  }
  if (kind == "attach") {
    runtime::v1::AttachRequest request;
    request.set_container_id(id);
    request.set_stdout(true);
    request.set_stderr(true);
    return TRY(client.Do(client.runtime(), &Stub::Attach, request)).url();
  }
  runtime::v1::PortForwardRequest request;
  request.set_pod_sandbox_id(id);
  request.add_port(port);
  return TRY(client.Do(client.runtime(), &Stub::PortForward, request)).url();
}

Result<> Round(cli::Client& client, const std::string& kind, const std::string& id, int port,
               bool wait) {
  const Address address = TRY(ParseUrl(TRY(Url(client, kind, id, port))));
  os::Fd socket = TRY(Upgrade(address, "v4.channel.k8s.io"));
  if (!wait) return Ok();
  char bytes[256];
  if (::recv(socket.get(), bytes, sizeof bytes, 0) <= 0) return ErrnoError("receive");
  return Ok();
}

Result<> Run(int argc, char** argv) {
  if (argc < 5) return Error(Code::kInvalidArgument, "ENDPOINT KIND ID ROUNDS [PORT] are needed");
  cli::Client client(argv[1]);
  const std::string kind = argv[2];
  const int64_t rounds = TRY(ParseInt(argv[4], 1, 1'000'000, "rounds"));
  const int port = argc > 5 ? static_cast<int>(TRY(ParseInt(argv[5], 1, 65535, "port"))) : 0;
  for (int64_t i = 0; i < rounds; ++i)
    TRY(Round(client, kind, argv[3], port, i % 2 == 1), StrCat(kind, " ", i));
  return Ok();
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  berth::Result<> result = berth::Run(argc, argv);
  if (result) return 0;
  std::fprintf(stderr, "berth-rounds: %s\n", result.error().message().c_str());
  return 1;
}
