// SPDX-License-Identifier: Apache-2.0
// berth-cni: a CNI plugin by the name it is called under (bridge, host-local, portmap, loopback ...). Called by container
// runtimes with the environment and standard input of the CNI spec, section 2.
//   bridge [own-ipam]    own-ipam: "host-local" is done in this process, whatever CNI_PATH has under that name
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/strings.h"
#include "cni/netns.h"
#include "cni/plugin.h"
#include "os/dir_fd.h"

namespace {

using namespace berth;
using namespace berth::cni;

constexpr size_t kMaxInput = 4U << 20;

std::string Env(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? std::string() : value;
}

int Print(std::string_view text, int code) {
  // What was done stays done: the runtime calls DEL when the answer did not arrive.
  return os::WriteAll(STDOUT_FILENO, StrCat(text, "\n")) ? code : 1;
}

int Fail(const Failure& failure, std::string_view version) {
  return Print(FormatFailure(failure, version), 1);
}

bool IsOwnNamespace(const Request& request) {
  if (request.netns_override || request.netns.empty()) return false;
  Result<PodNetns> netns = PodNetns::Open(request.netns);
  return netns && netns->IsOwn();
}

// What ADD prints; nothing for the other commands.
Result<std::string> Run(const Plugin& plugin, const Request& request) {
  if (request.command == "ADD") {
    const Outcome outcome = TRY(plugin.add(request));
    return FormatOutcome(outcome, request.cni_version);
  }
  const auto call = request.command == "DEL"      ? plugin.del
                    : request.command == "CHECK"  ? plugin.check
                    : request.command == "STATUS" ? plugin.status
                                                  : plugin.gc;
  TRY(call(request));
  return std::string();
}

int Main(std::string_view name, bool own_ipam) {
  const Plugin* plugin = FindPlugin(name);
  if (plugin == nullptr) {
    return Fail(
        {CniCode::kInvalidEnvironment,
         StrCat(Quote(name, 64), " is no plugin of this program: call it by the name of one"),
         {}},
        "");
  }
  const std::string command = Env("CNI_COMMAND");
  if (command == "VERSION") return Print(FormatVersions(), 0);
  if (command.empty()) {
    const std::string about = StrCat("CNI plugin ", name, " of berth-cni " BERTH_VERSION "\n");
    return os::WriteAll(STDERR_FILENO, about) ? 0 : 1;
  }
  Result<std::string> input = os::ReadAll(STDIN_FILENO, kMaxInput);
  if (!input)
    return Fail(
        {CniCode::kIoFailure, StrCat("error reading from stdin: ", input.error().message()), {}},
        "");
  Failure failure;
  std::optional<Request> request = ReadRequest(Env, std::move(*input), failure);
  if (!request) return Fail(failure, "");
  request->own_ipam = own_ipam;
  if ((command == "ADD" || command == "DEL") && IsOwnNamespace(*request))
    return Fail({CniCode::kInvalidNetns,
                 "plugin's netns and netns from CNI_NETNS should not be the same",
                 {}},
                request->cni_version);
  Result<std::string> printed = Run(*plugin, *request);
  if (!printed) return Fail(ToFailure(printed.error()), request->cni_version);
  return printed->empty() ? 0 : Print(*printed, 0);
}

}  // namespace

int main(int argc, char** argv) {
  // A runtime that has gone is seen as a failed write, after everything was undone or is whole.
  ::signal(SIGPIPE, SIG_IGN);
  std::string_view name = argc > 0 ? argv[0] : "";
  name = name.substr(name.rfind('/') + 1);
  return Main(name, argc > 1 && std::string_view(argv[1]) == "own-ipam");
}
