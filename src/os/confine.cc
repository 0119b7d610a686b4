// SPDX-License-Identifier: Apache-2.0
#include "os/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <map>

#include "base/strings.h"
#include "os/mount.h"

namespace berth::os {

namespace {

Result<> Check(long rc, std::string_view what) {
  if (rc < 0) return ErrnoError(what);
  return Ok();
}

}  // namespace

Result<> EnterEmptyRoot(const std::function<Result<>(const DirFd& top)>& fill) {
  TRY(Check(::unshare(CLONE_NEWNS | CLONE_NEWIPC), "unshare"));
  TRY(Check(::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make mounts private"));
  constexpr MountAttributes kAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  Mount root = TRY(Mount::Tmpfs("4m", "0755", kAttributes), "new root");
  Fd inside(::openat(root.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!inside) return ErrnoError("open new root");
  TRY(fill(DirFd(std::move(inside))), "new root");
  TRY(root.SetAttributes(MOUNT_ATTR_RDONLY, 0));
  // Any directory will do to hang it up for a moment; this one exists everywhere.
  const auto place = TRY(DirFd::OpenTrusted("/tmp"));
  Fd top(::openat(root.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top) return ErrnoError("open new root");
  TRY(std::move(root).AttachTo(place.get()));
  TRY(Check(::fchdir(top.get()), "enter new root"));
  // Both ends on one directory: the old root lies on top of the new one and is taken off
  // (pivot_root(2), NOTES).
  TRY(Check(::syscall(SYS_pivot_root, ".", "."), "pivot_root"));
  TRY(Check(::umount2(".", MNT_DETACH), "unmount old root"));
  return Check(::chdir("/"), "enter new root");
}

Result<> SetLimit(__rlimit_resource resource, rlim_t value, std::string_view what) {
  const rlimit limit{value, value};
  return Check(::setrlimit(resource, &limit), what);
}

Result<> DropPrivileges(uid_t uid, gid_t gid) {
  if (uid == 0 || gid == 0) {
    return Error(Code::kInvalidArgument, "user and group must not be root");
  }
  for (int cap = 0; cap <= 63; ++cap) {
    const int has = ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (has < 0) break;  // beyond the last one that this kernel has
    TRY(Check(::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), StrCat("drop capability ", cap)));
  }
  TRY(Check(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear ambient set"));
  TRY(Check(::setgroups(0, nullptr), "setgroups"));
  TRY(Check(::setresgid(gid, gid, gid), "setresgid"));
  TRY(Check(::setresuid(uid, uid, uid), "setresuid"));
  // setresuid has emptied permitted and effective; inheritable is left to us.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  TRY(Check(::syscall(SYS_capset, &header, none), "capset"));
  TRY(Check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs"));
  return Check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "not dumpable");
}

Result<> CheckConfined(const std::string& status, uid_t uid, gid_t gid) {
  const std::string user = StrCat(uid), group = StrCat(gid);
  const std::string none = "0000000000000000";
  std::map<std::string, std::string> expected = {{"Uid", Join({user, user, user, user}, "\t")},
                                                 {"Gid", Join({group, group, group, group}, "\t")},
                                                 {"Groups", ""},
                                                 {"NoNewPrivs", "1"},
                                                 {"Seccomp", "2"},
                                                 {"CapInh", none},
                                                 {"CapPrm", none},
                                                 {"CapEff", none},
                                                 {"CapBnd", none},
                                                 {"CapAmb", none}};
  for (std::string_view line : Split(status, '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const auto found = expected.find(std::string(line.substr(0, colon)));
    if (found == expected.end()) continue;
    if (TrimSpace(line.substr(colon + 1)) != found->second) {
      return Error(Code::kFailedPrecondition, StrCat("sandbox: ", Quote(line)));
    }
    expected.erase(found);
  }
  if (!expected.empty()) {
    return Error(Code::kFailedPrecondition,
                 StrCat("sandbox: /proc/self/status has no ", expected.begin()->first));
  }
  return Ok();
}

}  // namespace berth::os
