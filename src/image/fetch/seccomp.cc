// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/socket.h>

#include <cerrno>

#include "image/fetch/sandbox.h"
#include "os/syscall_filter.h"

namespace berth::image::fetch {

namespace {

// What libcurl, OpenSSL, glibc's resolver and threads need. Names that an architecture does not
// have are left out.
constexpr const char* kAllowed[] = {"read",
                                    "write",
                                    "readv",
                                    "writev",
                                    "pread64",
                                    "close",
                                    "fstat",
                                    "newfstatat",
                                    "fstatat64",
                                    "statx",
                                    "lseek",
                                    "openat2",
                                    "fcntl",
                                    "mmap",
                                    "munmap",
                                    "mremap",
                                    "mprotect",
                                    "madvise",
                                    "brk",
                                    "rt_sigaction",
                                    "rt_sigprocmask",
                                    "rt_sigreturn",
                                    "sigaltstack",
                                    "poll",
                                    "ppoll",
                                    "select",
                                    "pselect6",
                                    "connect",
                                    "sendto",
                                    "sendmsg",
                                    "sendmmsg",
                                    "recvfrom",
                                    "recvmsg",
                                    "recvmmsg",
                                    "getsockopt",
                                    "setsockopt",
                                    "getsockname",
                                    "getpeername",
                                    "shutdown",
                                    "set_robust_list",
                                    "rseq",
                                    "futex",
                                    "exit",
                                    "exit_group",
                                    "getpid",
                                    "gettid",
                                    "tgkill",
                                    "sched_yield",
                                    "sched_getaffinity",
                                    "clock_gettime",
                                    "clock_getres",
                                    "clock_nanosleep",
                                    "nanosleep",
                                    "gettimeofday",
                                    "time",
                                    "getrandom",
                                    "uname",
                                    "getuid",
                                    "geteuid",
                                    "getgid",
                                    "getegid",
                                    "restart_syscall",
                                    "pipe2",
                                    "eventfd2"};

}  // namespace

Result<> InstallSeccomp() {
  os::SyscallFilter filter;
  for (const char* name : kAllowed) filter.Allow(name);
  // No AF_UNIX: the host's abstract sockets are in reach of its network namespace (CVE-2020-15257).
  filter.AllowIf("socket", os::ArgumentIs(0, AF_INET));
  filter.AllowIf("socket", os::ArgumentIs(0, AF_INET6));
  filter.AllowIf("socketpair", os::ArgumentIs(0, AF_UNIX));
  filter.AllowIf("openat", os::ArgumentHas(2, O_ACCMODE | O_CREAT | O_TMPFILE, O_RDONLY));
  // Threads, not processes. clone3 hides its flags behind a pointer; glibc goes back to clone on
  // ENOSYS.
  constexpr uint64_t kThread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
  filter.AllowIf("clone", os::ArgumentHas(0, kThread, kThread));
  filter.Answer(ENOSYS, "clone3");
  filter.AllowIf("prlimit64", os::ArgumentIs(2, 0));   // reading
  filter.AllowIf("ioctl", os::ArgumentIs(1, 0x5421));  // FIONBIO
  filter.AllowIf("ioctl", os::ArgumentIs(1, 0x541B));  // FIONREAD: the resolver's
  return filter.Load();
}

}  // namespace berth::image::fetch
