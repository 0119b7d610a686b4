// SPDX-License-Identifier: Apache-2.0
// Devices of the host: one by name, or all below a directory.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "base/strings.h"
#include "runtime/linux_host.h"

namespace berth::runtime {

namespace {

constexpr int kMaxDepth = 8;
constexpr size_t kMaxDevices = 4096;

std::optional<HostDevice> ToDevice(const struct stat& st, const std::string& path) {
  HostDevice device;
  if (S_ISCHR(st.st_mode)) {
    device.type = 'c';
  } else if (S_ISBLK(st.st_mode)) {
    device.type = 'b';
  } else if (S_ISFIFO(st.st_mode)) {
    device.type = 'p';
  } else {
    return std::nullopt;
  }
  device.path = path;
  if (device.type != 'p') {
    device.major = static_cast<int64_t>(major(st.st_rdev));
    device.minor = static_cast<int64_t>(minor(st.st_rdev));
  }
  device.mode = st.st_mode & 07777;
  device.uid = st.st_uid;
  device.gid = st.st_gid;
  return device;
}

struct Walk {
  std::vector<HostDevice> found;
  bool fifos = true;  // a directory that was asked for may hold some; those in /dev are init's and
                      // nobody else's
};

bool IsContainersOwn(std::string_view name) {
  constexpr std::array<std::string_view, 5> kOwn{"pts", "shm", "fd", "mqueue", "console"};
  return std::find(kOwn.begin(), kOwn.end(), name) != kOwn.end();
}

// `skip_own`: only in the directory itself, not below it.
Result<> Collect(const os::DirFd& dir, const std::string& path, int depth, bool skip_own,
                 Walk& walk) {
  if (depth > kMaxDepth)
    return Error(Code::kResourceExhausted, StrCat("device directory ", path, ": too deep"));
  std::vector<std::string> names = TRY(dir.List(), path);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (skip_own && IsContainersOwn(name)) continue;
    Result<struct stat> st = dir.Stat(name);
    // Devices come and go while we look.
    if (!st && st.error().code() == Code::kNotFound) continue;
    if (!st) return std::move(st.error()).Wrap(path);
    const std::string below = StrCat(path, "/", name);
    if (S_ISDIR(st->st_mode)) {
      os::Fd opened(
          ::openat(dir.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!opened.valid() && errno == ENOENT) continue;
      if (!opened.valid()) return ErrnoError(below);
      TRY(Collect(os::DirFd(std::move(opened)), below, depth + 1, false, walk));
      continue;
    }
    std::optional<HostDevice> device = ToDevice(*st, below);
    if (!device || (device->type == 'p' && !walk.fifos)) continue;
    if (walk.found.size() == kMaxDevices)
      return Error(Code::kResourceExhausted, StrCat("device directory ", path, ": too many"));
    walk.found.push_back(std::move(*device));
  }
  return Ok();
}

}  // namespace

Result<std::vector<HostDevice>> LinuxHost::Devices(const std::string& host_path) {
  const std::string what = StrCat("device ", Quote(host_path));
  if (!host_path.starts_with('/') || host_path.find('\0') != std::string::npos)
    return Error(Code::kInvalidArgument, StrCat(what, ": not an absolute path"));
  const os::Fd fd(::open(host_path.c_str(), O_PATH | O_CLOEXEC));
  struct stat st{};
  if (!fd.valid() || ::fstat(fd.get(), &st) != 0) return ErrnoError(what);
  Walk walk;
  if (S_ISDIR(st.st_mode)) {
    const os::DirFd dir = TRY(os::DirFd::OpenTrusted(StrCat("/proc/self/fd/", fd.get())), what);
    std::string path = host_path;
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    TRY(Collect(dir, path == "/" ? "" : path, 0, path == "/dev", walk), what);
  } else if (std::optional<HostDevice> device = ToDevice(st, host_path)) {
    walk.found.push_back(std::move(*device));
  } else {
    return Error(Code::kInvalidArgument, StrCat(what, ": not a device"));
  }
  if (walk.found.empty())
    return Error(Code::kNotFound, StrCat(what, ": no device is below this directory"));
  return std::move(walk.found);
}

Result<std::vector<HostDevice>> LinuxHost::AllDevices() {
  const os::DirFd dir = TRY(os::DirFd::OpenTrusted(options_.dev_dir), "devices");
  Walk walk;
  walk.fifos = false;
  // The paths are those in a container, wherever the directory is.
  TRY(Collect(dir, "/dev", 0, true, walk), "devices");
  return std::move(walk.found);
}

}  // namespace berth::runtime
