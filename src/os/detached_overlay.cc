// SPDX-License-Identifier: Apache-2.0
#include "os/detached_overlay.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "os/mount_internal.h"
#include "os/thread_internal.h"

namespace berth::os {

namespace {

// Over the root directory of this thread's mount namespace: paths go on below the old one. The copy
// of a shared mount is its peer: the next one, which is attached to this one's root, would appear on
// the node's too, and stay there.
Result<> AttachSomewhere(Mount mount) {
  TRY(mount.SetPropagation(MS_PRIVATE, true), "make mount private");
  Fd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return ErrnoError("open /");
  return std::move(mount).AttachTo(root.get());
}

// The directory that holds upper and work, as a mount of its own: both must be reached through one.
Result<Mount> CloneTop(const OverlayOptions& options) {
  Fd parent(::openat(options.upper.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent) return ErrnoError("open directory of upper");
  return Mount::CloneTree(parent.get(), false);
}

Result<> AttachAll(OverlayOptions& options, Mount lower) {
  std::optional<Mount> top;
  if (options.upper.valid())
    top.emplace(TRY(CloneTop(options)));  // before: only mounts of one's own can be cloned
  if (::unshare(CLONE_NEWNS) < 0) return ErrnoError("unshare mount namespace");
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
    return ErrnoError("make mounts private");
  TRY(AttachSomewhere(std::move(lower)), "lower directories");
  if (!top) return Ok();
  const DirFd dir = TRY(top->OpenRoot());
  TRY(AttachSomewhere(std::move(*top)), "upper directory");
  options.upper = TRY(dir.OpenDir("diff"));
  options.work = TRY(dir.OpenDir("work"));
  return Ok();
}

}  // namespace

Result<Mount> internal::OverlayInOwnNamespace(OverlayOptions& options, Mount lower,
                                              MountAttributes attributes) {
  std::optional<Mount> mount;
  TRY(RunOnThread([&]() -> Result<> {
    TRY(AttachAll(options, std::move(lower)), "overlay");
    bool unknown = false;
    mount.emplace(TRY(OverlayBy(OverlayStyle::kOption, options, attributes, unknown)));
    return Ok();
  }));
  return std::move(*mount);
}

Result<Mount> OverlayOfDetached(OverlayOptions options, Mount lower, MountAttributes attributes) {
  Result<Mount> direct = Mount::Overlay(options, attributes);
  if (direct || direct.error().sys_errno() != EINVAL) return direct;
  return internal::OverlayInOwnNamespace(options, std::move(lower), attributes);
}

}  // namespace berth::os
