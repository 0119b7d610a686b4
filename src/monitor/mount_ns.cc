// SPDX-License-Identifier: Apache-2.0
#include "monitor/mount_ns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>

#include "base/strings.h"
#include "monitor/protocol.h"
#include "os/dir_fd.h"
#include "os/mount.h"

namespace berth::monitor {

namespace {

Result<> LeaveHybridCgroups(const MountPlan& plan) {
  for (const std::string& path : plan.private_paths) {
    if (::mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr) < 0)
      return ErrnoError(StrCat("make ", path, " private"));
  }
  for (const std::string& path : plan.detach_paths) {
    // EINVAL: not mounted, which is what we want.
    if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) < 0) {
      if (errno == EINVAL || errno == ENOENT) continue;
      return ErrnoError(StrCat("unmount ", path));
    }
    // crun makes directories and files there, as if it were a hierarchy: not in the host's tmpfs.
    if (::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755") < 0)
      return ErrnoError(StrCat("cover ", path));
  }
  return Ok();
}

// Onto a directory or a file, whichever the volume is: both are made by the daemon.
Result<> AttachVolumes(const MountPlan& plan, const os::DirFd& pod) {
  const std::string dir = StrCat(kContainersDir, "/", plan.container_id, "/", kVolumesDir, "/");
  for (size_t i = 0; i < plan.volumes.size(); ++i) {
    const std::string what = StrCat("attach volume ", i);
    os::Fd target = TRY(pod.Open(StrCat(dir, i), O_PATH | O_NOFOLLOW), what);
    TRY(os::Mount(os::Fd(plan.volumes[i])).AttachTo(target.get()), what);
  }
  return Ok();
}

}  // namespace

Result<> EnterMountNamespace(const MountPlan& plan) {
  if (::unshare(CLONE_NEWNS) < 0) return ErrnoError("make mount namespace");
  TRY(LeaveHybridCgroups(plan));
  if (plan.rootfs < 0 && plan.shm < 0 && plan.volumes.empty()) return Ok();
  // Opened here and by path: descriptors from before lead to the mounts of the other namespace.
  os::DirFd pod = TRY(os::DirFd::OpenTrusted(plan.pod_path));
  if (plan.rootfs >= 0) {
    os::DirFd target =
        TRY(pod.OpenDir(StrCat(kContainersDir, "/", plan.container_id, "/rootfs")), "rootfs");
    TRY(os::Mount(os::Fd(plan.rootfs)).AttachTo(target.get()), "attach rootfs");
  }
  TRY(AttachVolumes(plan, pod));
  if (plan.shm >= 0) {
    os::DirFd target = TRY(pod.OpenDir("shm"), "shm");
    os::Mount copy = TRY(os::Mount::CloneTree(plan.shm, false), "shm");
    TRY(std::move(copy).AttachTo(target.get()), "attach shm");
  }
  return Ok();
}

}  // namespace berth::monitor
