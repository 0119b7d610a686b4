// SPDX-License-Identifier: Apache-2.0
// berth-stream: serves exec, attach and port-forward to clients, without any privilege. Started by berthd as root with
// the socket to it as fd 3; arguments and messages: protocol.h. Binds its address, drops everything that must be, and
// only then reads a byte from outside.
#include <malloc.h>
#include <openssl/ssl.h>
#include <signal.h>

#include <algorithm>
#include <string_view>

#include "api/stream/program.h"
#include "api/stream/sandbox.h"
#include "base/strings.h"
#include "os/socket.h"

namespace berth::stream {
namespace {

struct Arguments {
  ProgramOptions program;
  SandboxOptions sandbox;
  bool info = false;
};

constexpr int64_t kMaxSeconds = 366 * 24 * 3600;
// A connection with its session, and a bit: its socket, three streams or a terminal and its copies, the result.
constexpr size_t kFdsOfConnection = 8;
constexpr size_t kFdsOfDial = 2;
constexpr size_t kOtherFds = 64 + 64;  // those of clients that ask for documents among them

// What the fds allow, in halves, so that a fd that berthd sends always finds its place.
void FitToFds(size_t fds, ServerOptions& server) {
  const size_t half = fds > kOtherFds ? (fds - kOtherFds) / 2 : 0;
  server.max_connections = std::min(server.max_connections, half / kFdsOfConnection);
  server.max_dials = std::min(server.max_dials, half / kFdsOfDial);
}

Result<> ParseArgument(std::string_view argument, Arguments& out) {
  const size_t equals = argument.find('=');
  const std::string_view name = argument.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view() : argument.substr(equals + 1);
  ServerOptions& server = out.program.server;
  auto seconds = [&]() -> Result<std::chrono::nanoseconds> {
    return std::chrono::seconds(TRY(ParseInt(value, 1, kMaxSeconds, name)));
  };
  if (name == "--address") {
    server.address = value;
  } else if (name == "--port") {
    server.port = static_cast<uint16_t>(TRY(ParseInt(value, 0, UINT16_MAX, name)));
  } else if (name == "--uid") {
    out.sandbox.uid = static_cast<uid_t>(TRY(ParseInt(value, 1, 0x7fffffff, name)));
  } else if (name == "--gid") {
    out.sandbox.gid = static_cast<gid_t>(TRY(ParseInt(value, 1, 0x7fffffff, name)));
  } else if (name == "--creation-timeout") {
    server.timeouts.creation = TRY(seconds());
  } else if (name == "--idle-timeout") {
    server.timeouts.idle = TRY(seconds());
  } else if (argument == "--info") {
    out.info = true;
  } else if (argument == "--tls") {
    out.program.tls = true;
  } else {
    return Error(Code::kInvalidArgument, StrCat("unknown argument ", Quote(argument)));
  }
  return Ok();
}

Result<std::unique_ptr<Program>> Prepare(int argc, char** argv, os::Fd daemon) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) TRY(ParseArgument(argv[i], arguments));
  ::signal(SIGPIPE, SIG_IGN);
  ::mallopt(M_ARENA_MAX, 1);
  // Reads its configuration and error texts while there is a file system.
  if (OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, nullptr) !=
      1)
    return Error(Code::kInternal, "TLS library does not start");
  ServerOptions& server = arguments.program.server;
  FitToFds(TRY(AllowedFds(arguments.sandbox)), server);
  os::Fd listener = TRY(Listen(server.address, server.port));
  // The loop's own fds are made here too: the sandbox allows no new ones of that kind.
  auto program = TRY(Program::Make(arguments.program, std::move(daemon), std::move(listener),
                                   os::Fd(arguments.info ? kInfoFd : -1)));
  TRY(EnterSandbox(arguments.sandbox));
  return program;
}

int Main(int argc, char** argv) {
  os::Fd daemon(kDaemonFd);
  auto report = daemon.Duplicate();
  if (!report) return 1;
  auto program = Prepare(argc, argv, std::move(daemon));
  if (!program) {
    (void)os::SendMessage(report->get(), ErrorReply(0, program.error()));
    return 1;
  }
  report->Reset();
  return (*program)->Run() ? 0 : 1;
}

}  // namespace
}  // namespace berth::stream

int main(int argc, char** argv) { return berth::stream::Main(argc, argv); }
