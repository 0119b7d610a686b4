// SPDX-License-Identifier: Apache-2.0
#include "cni/ipam.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/strings.h"
#include "cni/plugin.h"
#include "oci/cni.h"
#include "os/dir_fd.h"
#include "os/process.h"

namespace berth::cni {

namespace {

constexpr std::string_view kHostLocalName = "host-local";
constexpr std::chrono::seconds kTimeout{120};

bool SameFile(const std::string& a, const std::string& b) {
  struct stat one{}, two{};
  return ::stat(a.c_str(), &one) == 0 && ::stat(b.c_str(), &two) == 0 && one.st_dev == two.st_dev &&
         one.st_ino == two.st_ino;
}

// "" when no directory has it.
std::string FindInPath(const Request& request) {
  for (const std::string& dir : request.path) {
    std::string path = StrCat(dir, "/", request.ipam_type);
    struct stat st{};
    if (::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode)) return path;
  }
  return {};
}

Error NotFound(const Request& request) {
  return Error(Code::kInternal, StrCat("failed to find plugin ", Quote(request.ipam_type),
                                       " in path [", Join(request.path, " "), "]"));
}

// The plugin that is not this program; nothing when it is.
Result<std::optional<std::string>> OtherProgram(const Request& request) {
  const bool host_local = request.ipam_type == kHostLocalName;
  if (host_local && request.own_ipam) return std::optional<std::string>();
  std::string found = FindInPath(request);
  if (found.empty() && !host_local) return NotFound(request);
  if (host_local && (found.empty() || SameFile(found, "/proc/self/exe")))
    return std::optional<std::string>();
  return std::optional<std::string>(std::move(found));
}

// With the caller's environment, as every delegate is called.
Result<std::string> RunProgram(const Request& request, const std::string& path,
                               std::string_view command) {
  os::RunOptions run;
  run.spawn.path = path;
  run.spawn.args = {path};
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (!std::string_view(*entry).starts_with("CNI_COMMAND=")) run.spawn.env.emplace_back(*entry);
  run.spawn.env.push_back(StrCat("CNI_COMMAND=", command));
  run.input = request.config;
  run.timeout = kTimeout;
  run.output_limit = oci::kMaxCniResultBytes;
  os::RunOutput output = TRY(os::Run(run), StrCat("ipam plugin ", Quote(request.ipam_type)));
  if (output.status.ok()) return std::move(output.out);
  const std::string what = StrCat("ipam plugin ", Quote(request.ipam_type), ": ");
  if (Result<oci::CniError> said = oci::ParseCniError(output.out); said) {
    const Code code = said->code == 11  ? Code::kUnavailable
                      : said->code == 2 ? Code::kUnimplemented
                                        : Code::kInternal;
    return Error(code, StrCat(said->msg, said->details.empty() ? "" : "; ", said->details));
  }
  return Error(Code::kInternal,
               StrCat(what, os::Describe(output.status), ": ", Quote(TrimSpace(output.err), 512)));
}

}  // namespace

Result<Outcome> IpamAdd(const Request& request) {
  std::optional<std::string> program = TRY(OtherProgram(request));
  if (!program) return kHostLocal.add(request);
  const std::string printed = TRY(RunProgram(request, *program, "ADD"));
  Result<Outcome> outcome = ParseOutcome(printed);
  if (outcome) return outcome;
  // Its addresses are leased: they are given back before the answer that nobody understands is reported.
  (void)RunProgram(request, *program, "DEL");
  return std::move(outcome.error()).Wrap(StrCat("ipam plugin ", Quote(request.ipam_type)));
}

Result<> IpamCall(const Request& request, std::string_view as) {
  const std::string_view command = as.empty() ? std::string_view(request.command) : as;
  std::optional<std::string> program = TRY(OtherProgram(request));
  if (program) {
    TRY(RunProgram(request, *program, command));
    return Ok();
  }
  if (command == "DEL") return kHostLocal.del(request);
  if (command == "CHECK") return kHostLocal.check(request);
  return command == "GC" ? kHostLocal.gc(request) : kHostLocal.status(request);
}

}  // namespace berth::cni
