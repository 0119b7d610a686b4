// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_plugins.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/strings.h"
#include "os/dir_fd.h"
#include "os/fd.h"
#include "os/process.h"

namespace berth::runtime {

namespace {

// Plugins run iptables, ip and the like; nothing of the daemon's own environment reaches them.
constexpr std::string_view kPluginPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

Error PluginError(std::string_view type, std::string_view why) {
  return Error(Code::kFailedPrecondition, StrCat("cni plugin ", Quote(type), ": ", why));
}

// Links inside the directory are followed (one binary under many names is common), links out of it
// are not; that is why this is not DirFd::Open, which follows none.
os::Fd OpenBeneath(const os::DirFd& dir, std::string_view name) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const std::string text(name);
  return os::Fd(
      static_cast<int>(::syscall(SYS_openat2, dir.get(), text.c_str(), &how, sizeof(how))));
}

std::vector<std::string> Environment(const CniCall& call, const std::vector<std::string>& dirs) {
  std::vector<std::string> env{std::string(kPluginPath), StrCat("CNI_COMMAND=", call.command),
                               StrCat("CNI_PATH=", Join(dirs, ":"))};
  const bool of_container =
      call.command == "ADD" || call.command == "DEL" || call.command == "CHECK";
  if (!of_container) return env;
  env.push_back(StrCat("CNI_CONTAINERID=", call.container_id));
  env.push_back(StrCat("CNI_NETNS=", call.netns));
  env.push_back(StrCat("CNI_IFNAME=", call.ifname));
  env.push_back(StrCat("CNI_ARGS=", call.args));
  return env;
}

Error FailedRun(std::string_view type, const CniCall& call, const os::RunOutput& output) {
  if (Result<oci::CniError> said = oci::ParseCniError(output.out); said)
    return oci::CniErrorToError(*said, type).Wrap(StrCat("cni ", call.command));
  std::string why = os::Describe(output.status);
  // A program that failed without the spec's JSON: its own words, wherever it wrote them.
  for (std::string_view words : {TrimSpace(output.err), TrimSpace(output.out)}) {
    if (!words.empty()) why = StrCat(why, ": ", Quote(words, 512));
  }
  return Error(Code::kInternal, StrCat("cni ", call.command, ": plugin ", Quote(type), ": ", why));
}

}  // namespace

Result<std::string> CniPlugins::Find(std::string_view type) const {
  if (!oci::IsValidPluginType(type))
    return Error(Code::kInvalidArgument,
                 StrCat("cni plugin ", Quote(type), ": the type is not a plain name"));
  for (const std::string& path : options_.bin_dirs) {
    Result<os::DirFd> dir = os::DirFd::OpenTrusted(path);
    if (!dir) {
      if (dir.error().code() == Code::kNotFound) continue;
      return std::move(dir.error()).Wrap(StrCat("cni plugin ", Quote(type)));
    }
    const os::Fd file = OpenBeneath(*dir, type);
    if (!file.valid()) {
      if (errno == ENOENT) continue;
      if (errno == EXDEV) return PluginError(type, StrCat("a link that leaves ", path));
      return ErrnoError(StrCat("cni plugin ", Quote(type), ": open in ", path))
          .WithCode(Code::kFailedPrecondition);
    }
    struct stat st{};
    if (::fstat(file.get(), &st) != 0) return ErrnoError(StrCat("stat ", path, "/", type));
    if (!S_ISREG(st.st_mode)) return PluginError(type, StrCat("no regular file in ", path));
    if ((st.st_mode & 0111) == 0) return PluginError(type, StrCat("not executable in ", path));
    if (options_.require_root_owner && st.st_uid != 0)
      return PluginError(type, StrCat("does not belong to root in ", path));
    if ((st.st_mode & 0002) != 0)
      return PluginError(type, StrCat("may be written by everybody in ", path));
    return StrCat(path, "/", type);
  }
  return PluginError(type, StrCat("not found in ", Join(options_.bin_dirs, ", ")));
}

Result<> CniPlugins::FindAll(const oci::NetworkConfigList& list) const {
  for (const oci::CniPlugin& plugin : list.plugins) {
    TRY(Find(plugin.type));
    if (!plugin.ipam_type.empty()) TRY(Find(plugin.ipam_type));
  }
  return Ok();
}

Result<std::string> CniPlugins::Run(std::string_view type, const CniCall& call,
                                    const std::string& input) const {
  os::RunOptions run;
  run.spawn.path = TRY(Find(type));
  run.spawn.args = {run.spawn.path};
  run.spawn.env = Environment(call, options_.bin_dirs);
  run.spawn.new_session = true;
  run.input = input;
  run.timeout = options_.timeout;
  run.output_limit = options_.output_limit;
  os::RunOutput output = TRY(os::Run(run), StrCat("cni ", call.command, ": plugin ", Quote(type)));
  if (!output.status.ok()) return FailedRun(type, call, output);
  return std::move(output.out);
}

}  // namespace berth::runtime
