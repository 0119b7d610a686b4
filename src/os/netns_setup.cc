// SPDX-License-Identifier: Apache-2.0
// What is set inside a new network namespace: the loopback interface and sysctls.
#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/strings.h"
#include "os/fs_context.h"
#include "os/netns.h"

namespace berth::os {

Result<> BringLoopbackUp() {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return ErrnoError("lo: make socket");
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) < 0) return ErrnoError("lo: get flags");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0) return ErrnoError("lo: set up");
  return Ok();
}

namespace {

// sysctl(8): the first separator decides. "net.ipv4.conf.all" and "net/ipv4/conf/eth0.100" are both
// good.
Result<std::string> SysctlPath(std::string_view key) {
  auto refuse = [&] {
    return Error(Code::kInvalidArgument, StrCat("sysctl ", Quote(key), ": not a valid name"));
  };
  const bool plain = std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '/' ||
           c == '-';
  });
  if (!plain || key.find("..") != std::string_view::npos) return refuse();
  std::string path(key);
  const size_t first = path.find_first_of("./");
  if (first != std::string::npos && path[first] == '.')
    for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  for (std::string_view piece : Split(path, '/'))
    if (piece.empty() || piece == "." || piece == "..") return refuse();
  return path;
}

// An instance of procfs that nobody else sees: what is mounted over /proc/sys (read-only in some
// containers) does not matter. It shows the namespaces of the thread that asks.
Result<DirFd> PrivateProcSys() {
  auto fresh = []() -> Result<Mount> {
    internal::FsContext fs = TRY(internal::FsContext::Open("proc"));
    TRY(fs.CreateFs());
    return fs.Finish(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  };
  Result<Mount> proc = fresh();
  if (!proc) {
    if (proc.error().code() == Code::kPermissionDenied) return DirFd::OpenTrusted("/proc/sys");
    return std::move(proc.error());
  }
  // Held open, the directory keeps the detached mount alive.
  return DirFd(proc->Release()).OpenDir("sys");
}

}  // namespace

Result<> WriteSysctl(std::string_view key, std::string_view value) {
  const std::string path = TRY(SysctlPath(key));
  if (value.find_first_of(std::string_view("\n\0", 2)) != std::string_view::npos)
    return Error(Code::kInvalidArgument,
                 StrCat("sysctl ", key, ": value ", Quote(value), " is not one line"));
  const std::string what = StrCat("sysctl ", key);
  DirFd sys = TRY(PrivateProcSys(), what);
  Fd file = TRY(sys.Open(path, O_WRONLY), what);
  // One write: the kernel takes each for the whole value.
  ssize_t n;
  do n = ::write(file.get(), value.data(), value.size());
  while (n < 0 && errno == EINTR);
  if (n < 0) {
    const int err = errno;
    Error error = ErrnoError(StrCat(what, ": set to ", Quote(value)), err);
    if (err == EINVAL) return std::move(error).WithCode(Code::kInvalidArgument);
    return error;
  }
  return Ok();
}

}  // namespace berth::os
