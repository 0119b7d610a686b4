// SPDX-License-Identifier: Apache-2.0
// Mounts as objects, through the mount API (fsopen(2), open_tree(2), mount_setattr(2),
// move_mount(2)); Linux >= 5.14. A Mount is detached and vanishes with its fd; an AttachedMount
// unmounts (MNT_DETACH) what it attached. Any one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/dir_fd.h"
#include "os/fd.h"

namespace berth::os {

// MOUNT_ATTR_RDONLY, _NOSUID, _NODEV, _NOEXEC ... of <sys/mount.h>.
using MountAttributes = uint64_t;

struct OverlayOptions {
  std::vector<DirFd> lower;  // topmost first; at least one
  DirFd upper;               // invalid: a read-only overlay
  DirFd work;                // on the same file system as upper
  bool volatile_upper = false;
  std::string source = "overlay";  // the name shown in mountinfo
};

class Mount {
 public:
  Mount() = default;
  explicit Mount(Fd fd) : fd_(std::move(fd)) {}
  // lowerdir+ by fd path where the kernel has it (6.8), else the option string; the kernel's own
  // words (fsconfig log) are in the error.
  static Result<Mount> Overlay(const OverlayOptions& options, MountAttributes attributes = 0);
  static Result<Mount> Tmpfs(std::string_view size, std::string_view mode,
                             MountAttributes attributes);
  // A detached copy of what is at `path`'s fd (open_tree OPEN_TREE_CLONE), recursive or not.
  static Result<Mount> CloneTree(int path_fd, bool recursive);

  int fd() const { return fd_.get(); }
  bool valid() const { return fd_.valid(); }
  [[nodiscard]] Fd Release() { return std::move(fd_); }
  // The directory at its root; keeps the mount's file system alive, not the mount.
  Result<DirFd> OpenRoot() const;
  Result<> SetAttributes(MountAttributes set, MountAttributes clear, bool recursive = false);
  // MS_PRIVATE, MS_SLAVE, MS_SHARED.
  Result<> SetPropagation(unsigned long propagation, bool recursive = false);
  // move_mount(2) onto the directory or file that `target_fd` is open on.
  Result<> AttachTo(int target_fd) &&;

 private:
  Fd fd_;
};

// umount2(2) of the topmost mount on dir/name, MNT_DETACH; not mounted is success.
Result<> Detach(const DirFd& dir, std::string_view name);

// A mount that is attached at dir/name and is unmounted when this object ends, unless Release()d.
class AttachedMount {
 public:
  AttachedMount() = default;
  static Result<AttachedMount> Attach(Mount mount, const DirFd& dir, std::string_view name);
  AttachedMount(AttachedMount&&) noexcept = default;
  AttachedMount& operator=(AttachedMount&&) noexcept;
  ~AttachedMount();
  Result<> Unmount();
  void Release() { name_.clear(); }

 private:
  DirFd dir_;
  std::string name_;
};

// Makes `path` (trusted, absolute) a mount point of its own with private propagation, if it is not
// one already: berthd's run directory. Mounts made below it never reach another namespace.
Result<> MakePrivateMountPoint(const std::string& path);
// Undo of MakePrivateMountPoint; not a mount point is success.
Result<> RemoveMountPoint(const std::string& path);

struct MountInfo {
  std::string mount_point;  // octal escapes decoded
  std::string fs_type;
  std::string source;
  std::string root;
  std::string super_options;
};
// A parser for /proc/PID/mountinfo (proc(5)); a malformed line is an error that quotes it.
Result<std::vector<MountInfo>> ParseMountInfo(std::string_view text);

}  // namespace berth::os
