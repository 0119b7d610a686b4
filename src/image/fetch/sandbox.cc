// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/sandbox.h"

#include <fcntl.h>
#include <features.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/sanitizers.h"
#include "base/strings.h"
#include "os/confine.h"
#include "os/dir_fd.h"

#if !__GLIBC_PREREQ(2, 34)
#error "an older glibc would have to load libnss_dns from the host's file system"
#endif

namespace berth::image::fetch {

namespace {

constexpr size_t kMaxHostFile = 1u << 20;
constexpr rlim_t kAddressSpace = rlim_t{1} << 30;
constexpr rlim_t kOpenFiles = 256;

// A host without the file has an empty one.
Result<std::string> ReadHostFile(const os::DirFd& etc, std::string_view name) {
  // resolv.conf is often a link into /run: the host's own files are trusted and links are followed.
  os::Fd fd(::openat(etc.get(), std::string(name).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::string();
  if (!fd) return ErrnoError(StrCat("/etc/", name));
  return TRY(os::ReadAll(fd.get(), kMaxHostFile), StrCat("/etc/", name));
}

Result<> FillRoot(const os::DirFd& top) {
  const auto host_etc = TRY(os::DirFd::OpenTrusted("/etc"));
  const os::DirFd etc = TRY(top.MakeDir("etc", 0755));
  for (const char* name : {"resolv.conf", "hosts"}) {
    TRY(etc.WriteFile(name, TRY(ReadHostFile(host_etc, name)), 0444));
  }
  return etc.WriteFile("nsswitch.conf", "hosts: files dns\n", 0444);
}

Result<> SetLimits() {
  // The sanitizers reserve terabytes of addresses.
  if (!kSanitized) TRY(os::SetLimit(RLIMIT_AS, kAddressSpace, "limit address space"));
  TRY(os::SetLimit(RLIMIT_NOFILE, kOpenFiles, "limit open files"));
  TRY(os::SetLimit(RLIMIT_FSIZE, 0, "limit file size"));
  TRY(os::SetLimit(RLIMIT_MEMLOCK, 0, "limit locked memory"));
  TRY(os::SetLimit(RLIMIT_MSGQUEUE, 0, "limit message queues"));
  return os::SetLimit(RLIMIT_CORE, 0, "limit core");
}

}  // namespace

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
  TRY(os::EnterEmptyRoot(FillRoot), "sandbox");
  TRY(SetLimits(), "sandbox");
  TRY(os::DropPrivileges(options.uid, options.gid), "sandbox");
  TRY(InstallSeccomp(), "sandbox");
  return os::CheckConfined(TRY(os::ReadAll(status.get(), 64u << 10), "sandbox"), options.uid,
                           options.gid);
}

}  // namespace berth::image::fetch
