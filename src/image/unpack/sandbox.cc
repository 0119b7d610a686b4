// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/sanitizers.h"
#include "base/strings.h"

// glibc's <sys/mount.h> and <linux/mount.h> do not go together.
extern "C" int mount(const char* source, const char* target, const char* type, unsigned long flags,
                     const void* data) noexcept;
extern "C" int umount2(const char* target, int flags) noexcept;

namespace berth::image::unpack {

namespace {

constexpr unsigned long kMsRec = 16384, kMsPrivate = 1UL << 18;
constexpr int kMntDetach = 2;

Result<> Check(long rc, std::string_view what) {
  if (rc < 0) return ErrnoError(StrCat("sandbox: ", what));
  return Ok();
}

Result<> SetLimit(__rlimit_resource resource, uint64_t value, std::string_view what) {
  struct rlimit limit{};
  TRY(Check(::getrlimit(resource, &limit), what));
  // Raising the hard limit would take CAP_SYS_RESOURCE.
  limit.rlim_cur = limit.rlim_max = std::min<rlim_t>(value, limit.rlim_max);
  return Check(::setrlimit(resource, &limit), what);
}

struct CapabilitySets {
  uint64_t effective = 0, permitted = 0, inheritable = 0;
};

Result<> SetCapabilities(const CapabilitySets& sets) {
  struct __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {};
  for (int i = 0; i < 2; ++i) {
    data[i].effective = static_cast<uint32_t>(sets.effective >> (32 * i));
    data[i].permitted = static_cast<uint32_t>(sets.permitted >> (32 * i));
    data[i].inheritable = static_cast<uint32_t>(sets.inheritable >> (32 * i));
  }
  return Check(::syscall(SYS_capset, &header, data), "set capabilities");
}

Result<CapabilitySets> GetCapabilities() {
  struct __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {};
  TRY(Check(::syscall(SYS_capget, &header, data), "read capabilities"));
  CapabilitySets sets;
  for (int i = 0; i < 2; ++i) {
    sets.effective |= uint64_t{data[i].effective} << (32 * i);
    sets.permitted |= uint64_t{data[i].permitted} << (32 * i);
    sets.inheritable |= uint64_t{data[i].inheritable} << (32 * i);
  }
  return sets;
}

Result<> DropBounding() {
  for (unsigned long cap = 0; cap < 64; ++cap) {
    const int has = ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (has < 0) break;  // beyond the last one that the kernel knows
    if (has == 1) TRY(Check(::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "drop bounding capability"));
  }
  return Ok();
}

}  // namespace

Result<os::Fd> CloneDirectory(int dir, bool read_only) {
  const long fd =
      ::syscall(SYS_open_tree, dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  TRY(Check(fd, "clone the layer's directory"));
  os::Fd tree(static_cast<int>(fd));
  struct mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                        (read_only ? MOUNT_ATTR_RDONLY : 0);
  // The clone of a shared mount is its peer, and pivot_root(2) takes no shared mount.
  attributes.propagation = kMsPrivate;
  TRY(Check(
      ::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes),
      "mount attributes"));
  return tree;
}

Result<> EnterNamespaces() {
  TRY(Check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs"));
  TRY(Check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable"));
  ::umask(0);
  TRY(Check(::setgroups(0, nullptr), "drop groups"));
  TRY(Check(::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID),
            "new namespaces"));
  return Check(::mount(nullptr, "/", nullptr, kMsRec | kMsPrivate, nullptr), "private mounts");
}

Result<> PivotInto(os::Fd mount_fd) {
  TRY(Check(::syscall(SYS_move_mount, mount_fd.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH),
            "attach the directory"));
  TRY(Check(::fchdir(mount_fd.get()), "enter the directory"));
  // With "." twice the old root ends up on top of the new one, from where it is unmounted
  // (pivot_root(2), Notes).
  TRY(Check(::syscall(SYS_pivot_root, ".", "."), "pivot_root"));
  TRY(Check(::umount2(".", kMntDetach), "unmount the old root"));
  return Check(::chdir("/"), "enter the new root");
}

Result<> KeepCapabilities(const std::vector<int>& keep) {
  uint64_t mask = 0;
  for (int cap : keep) mask |= uint64_t{1} << cap;
  TRY(Check(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient capabilities"));
  TRY(DropBounding());
  constexpr unsigned long kBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                  SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  TRY(Check(::prctl(PR_SET_SECUREBITS, kBits, 0, 0, 0), "secure bits"));
  TRY(SetCapabilities({.effective = mask, .permitted = mask, .inheritable = 0}));
  const CapabilitySets now = TRY(GetCapabilities());
  if (now.effective != mask || now.permitted != mask || now.inheritable != 0)
    return Error(Code::kInternal, "sandbox: capabilities are not what was set");
  return Ok();
}

Result<> SetResourceLimits(const ResourceLimits& limits) {
  // The sanitizer maps terabytes.
  if (!kSanitized) TRY(SetLimit(RLIMIT_AS, limits.memory, "memory limit"));
  TRY(SetLimit(RLIMIT_FSIZE, limits.file_size, "file size limit"));
  TRY(SetLimit(RLIMIT_NOFILE, limits.files, "open files limit"));
  return SetLimit(RLIMIT_CORE, 0, "core limit");
}

}  // namespace berth::image::unpack
