// SPDX-License-Identifier: Apache-2.0
#include "api/stream/sandbox.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/sanitizers.h"
#include "os/confine.h"
#include "os/dir_fd.h"
#include "os/syscall_filter.h"

namespace berth::stream {

namespace {

constexpr rlim_t kAddressSpace = rlim_t{1} << 30;

// What the loop, sockets, OpenSSL and malloc need. No socket(2), no open of anything, no process or thread.
constexpr const char* kAllowed[] = {"read",
                                    "write",
                                    "readv",
                                    "writev",
                                    "pread64",
                                    "lseek",
                                    "fstat",
                                    "newfstatat",
                                    "close",
                                    "fcntl",
                                    "shutdown",
                                    "connect",
                                    "accept4",
                                    "sendto",
                                    "sendmsg",
                                    "recvfrom",
                                    "recvmsg",
                                    "getsockopt",
                                    "setsockopt",
                                    "getsockname",
                                    "epoll_ctl",
                                    "epoll_wait",
                                    "epoll_pwait",
                                    "epoll_pwait2",
                                    "timerfd_settime",
                                    "munmap",
                                    "mremap",
                                    "madvise",
                                    "brk",
                                    "futex",
                                    "rt_sigaction",
                                    "rt_sigprocmask",
                                    "rt_sigreturn",
                                    "restart_syscall",
                                    "clock_gettime",
                                    "gettimeofday",
                                    "time",
                                    "getrandom",
                                    "getpid",
                                    "gettid",
                                    "tgkill",
                                    "exit",
                                    "exit_group"};

Result<> InstallFilter() {
  os::SyscallFilter filter;
  for (const char* name : kAllowed) filter.Allow(name);
  filter.AllowIf("mmap", os::ArgumentHas(2, PROT_EXEC, 0));
  filter.AllowIf("mprotect", os::ArgumentHas(2, PROT_EXEC, 0));
  filter.AllowIf("ioctl", os::ArgumentIs(1, TIOCSWINSZ));
  filter.AllowIf("prlimit64", os::ArgumentIs(2, 0));  // reading
  if (kSanitized) {
    for (const char* name : {"mmap", "mprotect", "sigaltstack", "sched_yield", "nanosleep",
                             "clock_nanosleep", "getrusage"})
      filter.Allow(name);
  }
  return filter.Load();
}

Result<> SetLimits(rlim_t fds) {
  // The sanitizers reserve terabytes of addresses.
  if (!kSanitized) TRY(os::SetLimit(RLIMIT_AS, kAddressSpace, "limit address space"));
  TRY(os::SetLimit(RLIMIT_NOFILE, fds, "limit open files"));
  TRY(os::SetLimit(RLIMIT_FSIZE, 0, "limit file size"));
  TRY(os::SetLimit(RLIMIT_MEMLOCK, 0, "limit locked memory"));
  TRY(os::SetLimit(RLIMIT_MSGQUEUE, 0, "limit message queues"));
  return os::SetLimit(RLIMIT_CORE, 0, "limit core");
}

}  // namespace

Result<unsigned int> AllowedFds(const SandboxOptions& options) {
  rlimit now{};
  if (::getrlimit(RLIMIT_NOFILE, &now) < 0) return ErrnoError("limit of open files");
  return static_cast<unsigned int>(std::min<rlim_t>(now.rlim_max, options.max_fds));
}

Result<> EnterSandbox(const SandboxOptions& options) {
  if (::geteuid() != 0) return Error(Code::kPermissionDenied, "sandbox: not started as root");
  os::Fd status(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  if (!status) return ErrnoError("sandbox: /proc/self/status");
  TRY(os::EnterEmptyRoot([](const os::DirFd&) { return Ok(); }), "sandbox");
  TRY(SetLimits(TRY(AllowedFds(options))), "sandbox");
  TRY(os::DropPrivileges(options.uid, options.gid), "sandbox");
  TRY(InstallFilter(), "sandbox");
  return os::CheckConfined(TRY(os::ReadAll(status.get(), 64U << 10), "sandbox"), options.uid,
                           options.gid);
}

}  // namespace berth::stream
