// SPDX-License-Identifier: Apache-2.0
// berth-fetch: talks to registries and reads archives for berthd, one process per pull, without any
// privilege. Started by berthd as root with the control socket as fd 3; everything that must be is
// dropped before the first byte from outside. Arguments: --uid=N --gid=N. Secrets come over the socket
// only.
#include <curl/curl.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <unistd.h>

#include <string_view>

#include "base/strings.h"
#include "image/fetch/sandbox.h"
#include "image/fetch/server.h"
#include "os/socket.h"

namespace berth::image::fetch {
namespace {

Result<SandboxOptions> ParseArguments(int argc, char** argv) {
  SandboxOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument.starts_with("--uid=")) {
      options.uid = static_cast<uid_t>(TRY(ParseInt(argument.substr(6), 1, 0x7fffffff, "--uid")));
    } else if (argument.starts_with("--gid=")) {
      options.gid = static_cast<gid_t>(TRY(ParseInt(argument.substr(6), 1, 0x7fffffff, "--gid")));
    } else {
      return Error(Code::kInvalidArgument, StrCat("unknown argument ", Quote(argument)));
    }
  }
  return options;
}

Result<> Prepare(int argc, char** argv, std::string& system_ca) {
  const SandboxOptions options = TRY(ParseArguments(argc, argv));
  ::signal(SIGPIPE, SIG_IGN);
  // Each further arena reserves 64 MiB of the address space that the sandbox limits.
  ::mallopt(M_ARENA_MAX, 2);
  // Reads its configuration and error texts while there is a file system.
  if (OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, nullptr) !=
          1 ||
      curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return Error(Code::kInternal, "TLS library does not start");
  }
  system_ca = TRY(ReadSystemCa());
  return EnterSandbox(options);
}

int Main(int argc, char** argv) {
  os::Fd control(kControlFd);
  std::string system_ca;
  if (auto prepared = Prepare(argc, argv, system_ca); !prepared) {
    (void)os::SendMessage(control.get(), CleanText(prepared.error().message()));
    return 1;
  }
  const int report = control.get();
  Server server(std::move(control), std::move(system_ca));
  auto done = server.Run();
  if (!done) (void)os::SendMessage(report, CleanText(done.error().message()));
  // Without destructors: threads may still be at work.
  ::_exit(done ? 0 : 1);
}

}  // namespace
}  // namespace berth::image::fetch

int main(int argc, char** argv) { return berth::image::fetch::Main(argc, argv); }
