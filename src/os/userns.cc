// SPDX-License-Identifier: Apache-2.0
#include "os/userns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::os {

namespace {

Result<> AwaitByte(int fd, std::chrono::milliseconds timeout) {
  pollfd wait{fd, POLLIN, 0};
  int ready;
  do ready = ::poll(&wait, 1, static_cast<int>(timeout.count()));
  while (ready < 0 && errno == EINTR);
  if (ready < 0) return ErrnoError("wait for the namespaces");
  if (ready == 0) return Error(Code::kDeadlineExceeded, "the namespaces were not made in time");
  char byte;
  if (::read(fd, &byte, 1) == 1) return Ok();
  return Error(Code::kInternal, "the namespaces were not made: does the kernel allow them?");
}

// One write(2) each: the kernel takes no more.
Result<> WriteMap(const std::string& process, const char* name, const IdRange& range) {
  const std::string path = StrCat(process, "/", name);
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return ErrnoError(path);
  const std::string map = StrCat(range.inside, " ", range.outside, " ", range.count, "\n");
  if (::write(file.get(), map.data(), map.size()) < 0) return ErrnoError(StrCat("write ", name));
  return Ok();
}

Result<Fd> OpenNs(const std::string& process, const char* name) {
  const std::string path = StrCat(process, "/ns/", name);
  Fd ns(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!ns) return ErrnoError(path);
  return ns;
}

}  // namespace

Result<UserNs> MakeUserNs(SpawnOptions holder, const IdRange& range,
                          std::chrono::milliseconds timeout) {
  Pipe go = TRY(MakePipe());
  Pipe done = TRY(MakePipe());
  holder.fds = {{go.read.get(), 0}, {done.write.get(), 1}};
  // Killed and reaped at the end of this function; its number is its own until then.
  const Process process = TRY(Spawn(holder), "user namespace");
  go.read.Reset();
  done.write.Reset();
  TRY(AwaitByte(done.read.get(), timeout), "user namespace");
  const std::string path = StrCat("/proc/", process.pid());
  TRY(WriteMap(path, "uid_map", range), "user namespace");
  TRY(WriteMap(path, "gid_map", range), "user namespace");
  UserNs made;
  made.user = TRY(OpenNs(path, "user"), "user namespace");
  made.network = TRY(OpenNs(path, "net"), "user namespace");
  made.ipc = TRY(OpenNs(path, "ipc"), "user namespace");
  made.uts = TRY(OpenNs(path, "uts"), "user namespace");
  return made;
}

Result<Fd> OpenUserNs(const std::string& path) {
  Fd ns(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!ns) return ErrnoError(StrCat("user namespace ", path));
  if (::ioctl(ns.get(), NS_GET_NSTYPE) != CLONE_NEWUSER)
    return Error(Code::kFailedPrecondition, StrCat(path, ": no user namespace"));
  return ns;
}

Result<> ShiftIds(const Mount& mount, int user_ns) {
  struct mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<uint64_t>(user_ns);
  if (::mount_setattr(mount.fd(), "", AT_EMPTY_PATH, &attr, sizeof attr) == 0) return Ok();
  const int err = errno;
  Error error = ErrnoError("shift ids of mount", err);
  // mount_setattr(2): the file system does not support it.
  if (err == EINVAL)
    return std::move(error)
        .Wrap("its file system has no idmapped mounts")
        .WithCode(Code::kFailedPrecondition);
  return error;
}

}  // namespace berth::os
