// SPDX-License-Identifier: Apache-2.0
#include "cni/netns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::cni {

namespace {

constexpr size_t kMaxSysctl = 4096;

Result<os::DirFd> ProcSys() { return os::DirFd::OpenTrusted("/proc/sys"); }

}  // namespace

Result<PodNetns> PodNetns::Open(const std::string& path) {
  os::Fd pod(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!pod.valid()) return ErrnoError(StrCat("failed to open netns ", Quote(path)));
  // Fails with ENOTTY on anything but a namespace.
  if (::ioctl(pod.get(), NS_GET_NSTYPE) != CLONE_NEWNET)
    return Error(Code::kFailedPrecondition,
                 StrCat("failed to open netns ", Quote(path), ": not a network namespace"));
  os::Fd host(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!host.valid()) return ErrnoError("open own network namespace");
  return PodNetns(std::move(pod), std::move(host));
}

bool PodNetns::IsOwn() const {
  struct stat a{}, b{};
  return ::fstat(pod_.get(), &a) == 0 && ::fstat(host_.get(), &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

Result<> PodNetns::Enter(int fd) {
  if (::setns(fd, CLONE_NEWNET) != 0) return ErrnoError("setns");
  return Ok();
}

Result<std::optional<PodNetns>> OpenIfThere(const std::string& path) {
  if (path.empty()) return std::optional<PodNetns>();
  Result<PodNetns> netns = PodNetns::Open(path);
  if (!netns && netns.error().code() == Code::kNotFound) return std::optional<PodNetns>();
  if (!netns) return std::move(netns.error());
  return std::optional<PodNetns>(std::move(*netns));
}

Result<> SetSysctl(const std::string& key, std::string_view value) {
  const std::string what = StrCat("sysctl ", key);
  const os::DirFd dir = TRY(ProcSys(), what);
  const os::Fd file = TRY(dir.Open(key, O_WRONLY), what);
  // One write: the kernel takes each for the whole value.
  if (::write(file.get(), value.data(), value.size()) < 0)
    return ErrnoError(StrCat(what, ": set to ", Quote(value)));
  return Ok();
}

Result<std::string> GetSysctl(const std::string& key) {
  const std::string what = StrCat("sysctl ", key);
  const os::DirFd dir = TRY(ProcSys(), what);
  const os::Fd file = TRY(dir.Open(key, O_RDONLY), what);
  const std::string text = TRY(os::ReadAll(file.get(), kMaxSysctl), what);
  return std::string(TrimSpace(text));
}

Result<> SetSysctlIfThere(const std::string& key, std::string_view value) {
  Result<> done = SetSysctl(key, value);
  if (!done && done.error().code() == Code::kNotFound) return Ok();
  return done;
}

}  // namespace berth::cni
