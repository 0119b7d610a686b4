// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_plugins.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

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

bool CniPlugins::IsNative(std::string_view type) {
  constexpr std::array<std::string_view, 8> kTypes{"bandwidth", "bridge",  "firewall", "host-local",
                                                   "loopback",  "portmap", "ptp",      "tuning"};
  return std::ranges::find(kTypes, type) != kTypes.end();
}

Result<std::string> CniPlugins::Find(std::string_view type) const {
  if (!oci::IsValidPluginType(type))
    return Error(Code::kInvalidArgument,
                 StrCat("cni plugin ", Quote(type), ": the type is not a plain name"));
  if (!options_.use_native || options_.native_program.empty() || !IsNative(type))
    return FindInDirs(type);
  if (::access(options_.native_program.c_str(), X_OK) != 0)
    return PluginError(type, StrCat(options_.native_program, " is not there or not executable"));
  return std::string(kNativeProgram);
}

Result<std::string> CniPlugins::FindInDirs(std::string_view type) const {
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

Result<std::vector<std::string>> CniPlugins::FindAll(const oci::NetworkConfigList& list) const {
  std::vector<std::string> programs;
  for (const oci::CniPlugin& plugin : list.plugins) {
    programs.push_back(TRY(Find(plugin.type)));
    if (!plugin.ipam_type.empty()) TRY(Find(plugin.ipam_type));
  }
  return programs;
}

Result<std::vector<std::string>> CniPlugins::FindAgain(
    const oci::NetworkConfigList& list, const std::vector<std::string>& recorded) const {
  std::vector<std::string> programs;
  for (size_t i = 0; i < list.plugins.size(); ++i) {
    const std::string& type = list.plugins[i].type;
    const std::string program = i < recorded.size() ? recorded[i] : std::string();
    const bool there = program == kNativeProgram
                           ? !options_.native_program.empty()
                           : !program.empty() && ::access(program.c_str(), X_OK) == 0;
    programs.push_back(there ? program : TRY(Find(type)));
  }
  return programs;
}

Result<std::string> CniPlugins::Run(std::string_view type, const std::string& program,
                                    const CniCall& call, const std::string& input) const {
  os::RunOptions run;
  const bool native = program == kNativeProgram;
  run.spawn.path = native ? options_.native_program : program;
  run.spawn.args = {native ? std::string(type) : run.spawn.path};
  // host-local inside the same process: no second one is started.
  if (native) run.spawn.args.emplace_back("own-ipam");
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
