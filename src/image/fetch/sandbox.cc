// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/sandbox.h"

#include <fcntl.h>
#include <features.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <map>

#include "base/strings.h"
#include "os/dir_fd.h"
#include "os/mount.h"

#if !__GLIBC_PREREQ(2, 34)
#error "an older glibc would have to load libnss_dns from the host's file system"
#endif

namespace berth::image::fetch {

namespace {

constexpr size_t kMaxHostFile = 1u << 20;
constexpr rlim_t kAddressSpace = rlim_t{1} << 30;
constexpr rlim_t kOpenFiles = 256;

Result<> Check(long rc, std::string_view what) {
  if (rc < 0) return ErrnoError(what);
  return Ok();
}

// A host without the file has an empty one.
Result<std::string> ReadHostFile(const os::DirFd& etc, std::string_view name) {
  // resolv.conf is often a link into /run: the host's own files are trusted and links are followed.
  os::Fd fd(::openat(etc.get(), std::string(name).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::string();
  if (!fd) return ErrnoError(StrCat("/etc/", name));
  return TRY(os::ReadAll(fd.get(), kMaxHostFile), StrCat("/etc/", name));
}

Result<> FillRoot(const os::Mount& root) {
  const auto host_etc = TRY(os::DirFd::OpenTrusted("/etc"));
  os::Fd fd(::openat(root.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoError("open new root");
  const os::DirFd top(std::move(fd));
  const os::DirFd etc = TRY(top.MakeDir("etc", 0755));
  for (const char* name : {"resolv.conf", "hosts"}) {
    TRY(etc.WriteFile(name, TRY(ReadHostFile(host_etc, name)), 0444));
  }
  return etc.WriteFile("nsswitch.conf", "hosts: files dns\n", 0444);
}

Result<> ReplaceRoot() {
  TRY(Check(::unshare(CLONE_NEWNS | CLONE_NEWIPC), "unshare"));
  TRY(Check(::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make mounts private"));
  constexpr os::MountAttributes kAttributes =
      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  os::Mount root = TRY(os::Mount::Tmpfs("4m", "0755", kAttributes), "new root");
  TRY(FillRoot(root), "new root");
  TRY(root.SetAttributes(MOUNT_ATTR_RDONLY, 0));
  // Any directory will do to hang it up for a moment; this one exists everywhere.
  const auto place = TRY(os::DirFd::OpenTrusted("/tmp"));
  os::Fd top(::openat(root.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top) return ErrnoError("open new root");
  TRY(std::move(root).AttachTo(place.get()));
  TRY(Check(::fchdir(top.get()), "enter new root"));
  // Both ends on one directory: the old root lies on top of the new one and is taken off
  // (pivot_root(2), NOTES).
  TRY(Check(::syscall(SYS_pivot_root, ".", "."), "pivot_root"));
  TRY(Check(::umount2(".", MNT_DETACH), "unmount old root"));
  return Check(::chdir("/"), "enter new root");
}

Result<> Limit(__rlimit_resource resource, rlim_t value, std::string_view what) {
  const rlimit limit{value, value};
  return Check(::setrlimit(resource, &limit), what);
}

Result<> SetLimits() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // The sanitizers reserve terabytes of addresses.
  TRY(Limit(RLIMIT_AS, kAddressSpace, "limit address space"));
#endif
  TRY(Limit(RLIMIT_NOFILE, kOpenFiles, "limit open files"));
  TRY(Limit(RLIMIT_FSIZE, 0, "limit file size"));
  TRY(Limit(RLIMIT_MEMLOCK, 0, "limit locked memory"));
  TRY(Limit(RLIMIT_MSGQUEUE, 0, "limit message queues"));
  return Limit(RLIMIT_CORE, 0, "limit core");
}

Result<> DropPrivileges(const SandboxOptions& options) {
  if (options.uid == 0 || options.gid == 0) {
    return Error(Code::kInvalidArgument, "user and group must not be root");
  }
  for (int cap = 0; cap <= 63; ++cap) {
    const int has = ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (has < 0) break;  // beyond the last one that this kernel has
    TRY(Check(::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), StrCat("drop capability ", cap)));
  }
  TRY(Check(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear ambient set"));
  TRY(Check(::setgroups(0, nullptr), "setgroups"));
  TRY(Check(::setresgid(options.gid, options.gid, options.gid), "setresgid"));
  TRY(Check(::setresuid(options.uid, options.uid, options.uid), "setresuid"));
  // setresuid has emptied permitted and effective; inheritable is left to us.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  TRY(Check(::syscall(SYS_capset, &header, none), "capset"));
  TRY(Check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs"));
  return Check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "not dumpable");
}

}  // namespace

Result<> CheckStatus(const std::string& status, const SandboxOptions& options) {
  const std::string uid = StrCat(options.uid), gid = StrCat(options.gid);
  const std::string none = "0000000000000000";
  std::map<std::string, std::string> expected = {{"Uid", Join({uid, uid, uid, uid}, "\t")},
                                                 {"Gid", Join({gid, gid, gid, gid}, "\t")},
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

Result<std::string> ReadSystemCa() {
  for (const char* path :
       {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem"}) {
    os::Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
    if (!fd && errno == ENOENT) continue;
    if (!fd) return ErrnoError(path);
    return TRY(os::ReadAll(fd.get(), 8u << 20), path);
  }
  return std::string();
}

Result<> EnterSandbox(const SandboxOptions& options) {
  if (::geteuid() != 0) return Error(Code::kPermissionDenied, "sandbox: not started as root");
  os::Fd status(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  if (!status) return ErrnoError("sandbox: /proc/self/status");
  TRY(ReplaceRoot(), "sandbox");
  TRY(SetLimits(), "sandbox");
  TRY(DropPrivileges(options), "sandbox");
  TRY(InstallSeccomp(), "sandbox");
  return CheckStatus(TRY(os::ReadAll(status.get(), 64u << 10), "sandbox"), options);
}

}  // namespace berth::image::fetch
