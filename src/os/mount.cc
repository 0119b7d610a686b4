// SPDX-License-Identifier: Apache-2.0
#include "os/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "os/dir_internal.h"
#include "os/mount_internal.h"

namespace berth::os {

Result<Mount> Mount::CloneTree(int path_fd, bool recursive) {
  const unsigned flags = AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                         (recursive ? unsigned{AT_RECURSIVE} : 0U);
  Fd tree(::open_tree(path_fd, "", flags));
  if (!tree) return ErrnoError("clone mount");
  return Mount(std::move(tree));
}

Result<DirFd> Mount::OpenRoot() const {
  Fd root(::openat(fd_.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return ErrnoError("open root of mount");
  return DirFd(std::move(root));
}

Result<> Mount::SetAttributes(MountAttributes set, MountAttributes clear, bool recursive) {
  struct mount_attr attr{};
  attr.attr_set = set;
  attr.attr_clr = clear;
  // The access-time modes are one field: setting one means clearing the others (mount_setattr(2)).
  if ((set & MOUNT_ATTR__ATIME) != 0) attr.attr_clr |= MOUNT_ATTR__ATIME;
  const unsigned flags = AT_EMPTY_PATH | (recursive ? unsigned{AT_RECURSIVE} : 0U);
  if (::mount_setattr(fd_.get(), "", flags, &attr, sizeof attr) < 0)
    return ErrnoError("set mount attributes");
  return Ok();
}

Result<> Mount::SetPropagation(unsigned long propagation, bool recursive) {
  struct mount_attr attr{};
  attr.propagation = propagation;
  const unsigned flags = AT_EMPTY_PATH | (recursive ? unsigned{AT_RECURSIVE} : 0U);
  if (::mount_setattr(fd_.get(), "", flags, &attr, sizeof attr) < 0)
    return ErrnoError("set mount propagation");
  return Ok();
}

Result<> Mount::AttachTo(int target_fd) && {
  if (::move_mount(fd_.get(), "", target_fd, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
    return ErrnoError("attach mount");
  fd_.Reset();
  return Ok();
}

Result<bool> internal::IsMountRoot(int fd) {
  struct statx st{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0) return ErrnoError("look for a mount");
  return (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<> Detach(const DirFd& dir, std::string_view name) {
  Result<internal::Place> place = internal::FindPlace(dir.get(), name);
  if (!place) {
    if (place.error().sys_errno() == ENOENT) return Ok();
    return std::move(place.error()).Wrap("unmount");
  }
  const std::string path = StrCat("/proc/self/fd/", place->dir, "/", place->name);
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == ENOENT) return Ok();
  const int err = errno;
  if (err == EINVAL) {
    // "Not a mount", but also "a mount of another namespace", which must not pass for success.
    Fd there = TRY(dir.Open(name, O_PATH | O_NOFOLLOW), "unmount");
    if (!TRY(internal::IsMountRoot(there.get()), "unmount")) return Ok();
  }
  return ErrnoError(StrCat("unmount ", Quote(name)), err);
}

Result<AttachedMount> AttachedMount::Attach(Mount mount, const DirFd& dir, std::string_view name) {
  Fd target = TRY(dir.Open(name, O_PATH | O_NOFOLLOW), "attach mount");
  AttachedMount attached;
  attached.dir_ = TRY(dir.Duplicate());
  TRY(std::move(mount).AttachTo(target.get()), Quote(name));
  attached.name_ = name;
  return attached;
}

AttachedMount& AttachedMount::operator=(AttachedMount&& other) noexcept {
  if (this == &other) return *this;
  AttachedMount old(std::move(*this));  // unmounted at the end of this scope
  dir_ = std::move(other.dir_);
  name_ = std::exchange(other.name_, {});
  return *this;
}

AttachedMount::~AttachedMount() {
  Result<> done = Unmount();
  if (!done) LogWarn(done.error().message());
}

Result<> AttachedMount::Unmount() {
  if (!dir_.valid() || name_.empty()) return Ok();
  TRY(Detach(dir_, name_));
  name_.clear();
  return Ok();
}

namespace {

Result<Fd> OpenPath(const std::string& path) {
  if (path.empty() || path[0] != '/' || path == "/")
    return Error(Code::kInvalidArgument, StrCat(Quote(path), ": cannot be a mount point of ours"));
  Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoError(path);
  return fd;
}

}  // namespace

Result<> internal::EnsureMountPoint(const std::string& path, unsigned long propagation) {
  Fd target = TRY(OpenPath(path));
  if (TRY(IsMountRoot(target.get()), path))
    return Mount(std::move(target)).SetPropagation(propagation);
  Mount self = TRY(Mount::CloneTree(target.get(), true), path);
  if (::move_mount(self.fd(), "", target.get(), "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
    return ErrnoError(StrCat(path, ": bind to itself"));
  // After attaching: below a shared mount it has just become shared itself.
  Result<> set = self.SetPropagation(propagation);
  if (!set) {
    (void)RemoveMountPoint(path);
    return std::move(set.error()).Wrap(path);
  }
  return Ok();
}

Result<> MakePrivateMountPoint(const std::string& path) {
  return internal::EnsureMountPoint(path, MS_PRIVATE);
}

Result<> RemoveMountPoint(const std::string& path) {
  Result<Fd> there = OpenPath(path);
  if (!there) {
    if (there.error().code() == Code::kNotFound) return Ok();
    return std::move(there.error());
  }
  if (!TRY(internal::IsMountRoot(there->get()), path)) return Ok();
  const std::string held = StrCat("/proc/self/fd/", there->get());
  if (::umount2(held.c_str(), MNT_DETACH) < 0) return ErrnoError(StrCat("unmount ", path));
  return Ok();
}

}  // namespace berth::os
