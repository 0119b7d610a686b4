// SPDX-License-Identifier: Apache-2.0
// On disk, as `ip netns` has it:
//   /run/netns         a shared mount point (bind of itself)
//   /run/netns/<name>  an empty file, stale unless the namespace's nsfs file is bind-mounted over it
#include "os/netns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <cerrno>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/rollback.h"
#include "base/strings.h"
#include "os/mount.h"
#include "os/mount_internal.h"
#include "os/thread_internal.h"

namespace berth::os {

namespace {

Result<> CheckName(std::string_view name) {
  if (name.empty() || name.size() > 255 || name == "." || name == ".." ||
      name.find_first_of(std::string_view("/\0", 2)) != std::string_view::npos)
    return Error(Code::kInvalidArgument,
                 StrCat("network namespace ", Quote(name), ": not a plain name"));
  return Ok();
}

// On the helper thread: /proc/thread-self is it, /proc/self would be the process's first thread.
Result<> EnterAndPin(int file, const std::function<Result<>()>& setup, int made) {
  if (made >= 0 && ::setns(made, CLONE_NEWNET) < 0) return ErrnoError("enter");
  if (made < 0 && ::unshare(CLONE_NEWNET) < 0) return ErrnoError("unshare");
  if (setup) TRY(setup());
  const std::string target = StrCat("/proc/self/fd/", file);
  if (::mount("/proc/thread-self/ns/net", target.c_str(), nullptr, MS_BIND, nullptr) < 0)
    return ErrnoError("pin");
  return Ok();
}

}  // namespace

Result<NetNsPins> NetNsPins::Open(const std::string& path) {
  (void)TRY(DirFd::MakeTrusted(path, 0755));
  TRY(internal::EnsureMountPoint(path, MS_SHARED), "network namespace directory");
  // Opened after mounting: a descriptor from before would look below the mount.
  return NetNsPins(path, TRY(DirFd::OpenTrusted(path)));
}

Result<> NetNsPins::Create(std::string_view name, const std::function<Result<>()>& setup,
                           int made) const {
  TRY(CheckName(name));
  const std::string what = StrCat("network namespace ", name);
  Rollback undo;
  {
    Fd created = TRY(dir_.Open(name, O_RDONLY | O_CREAT | O_EXCL, 0), what);
  }
  undo.Add("remove pin", [&] { return Remove(name); });
  TRY(FAIL_POINT("netns.file"));
  Fd file = TRY(dir_.Open(name, O_PATH | O_NOFOLLOW), what);
  TRY(internal::RunOnThread([&] { return EnterAndPin(file.get(), setup, made); }), what);
  undo.Commit();
  return Ok();
}

Result<> NetNsPins::Remove(std::string_view name) const {
  TRY(CheckName(name));
  // Somebody may have bound it twice.
  constexpr int kMostMounts = 16;
  for (int i = 0; i < kMostMounts; ++i) {
    Result<Fd> there = dir_.Open(name, O_PATH | O_NOFOLLOW);
    if (!there) {
      if (there.error().code() == Code::kNotFound) return Ok();
      return std::move(there.error());
    }
    if (!TRY(internal::IsMountRoot(there->get()), name)) break;
    TRY(FAIL_STEP("netns.unpin", Detach(dir_, name)), "network namespace");
  }
  return dir_.RemoveFile(name);
}

Result<Fd> NetNsPins::OpenNs(std::string_view name) const {
  TRY(CheckName(name));
  const std::string what = StrCat("network namespace ", name);
  Fd ns = TRY(dir_.Open(name, O_RDONLY | O_NONBLOCK), what);
  struct statfs st{};
  if (::fstatfs(ns.get(), &st) < 0) return ErrnoError(what);
  if (st.f_type != NSFS_MAGIC || ::ioctl(ns.get(), NS_GET_NSTYPE) != CLONE_NEWNET)
    return Error(Code::kNotFound, StrCat(what, ": the file is not one"));
  return ns;
}

Result<std::vector<std::string>> NetNsPins::List() const { return dir_.List(); }

std::string NetNsPins::PathOf(std::string_view name) const { return StrCat(path_, "/", name); }

Result<> RunInNetNs(int netns_fd, const std::function<Result<>()>& work) {
  return internal::RunOnThread([&]() -> Result<> {
    if (::setns(netns_fd, CLONE_NEWNET) < 0) return ErrnoError("enter network namespace");
    return work();
  });
}

}  // namespace berth::os
