// SPDX-License-Identifier: Apache-2.0
// The seccomp allow-lists of berth-unpack's processes (seccomp(2), by libseccomp).
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>

#include <cerrno>
#include <memory>

#include "base/sanitizers.h"
#include "base/strings.h"
#include "image/unpack/sandbox.h"

namespace berth::image::unpack {

namespace {

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

// Memory, threads, clocks and the end: what libc does by itself.
constexpr const char* kRuntime[] = {
    "read",
    "write",
    "close",
    "fstat",
    "newfstatat",
    "futex",
    "eventfd2",
    "munmap",
    "mremap",
    "madvise",
    "brk",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "getpid",
    "gettid",
    "tgkill",
    "sched_yield",
    "sched_getaffinity",
    "set_robust_list",
    "rseq",
    "clock_gettime",
    "clock_nanosleep",
    "getrandom",
    "exit",
    "exit_group",
    "restart_syscall",
    "poll",
    "ppoll",
    "prlimit64",
    "sysinfo",
};

constexpr const char* kLayerCalls[] = {
    "openat",  "openat2", "pwrite64", "writev",    "ftruncate", "lseek",
    "mkdirat", "mknodat", "linkat",   "symlinkat", "unlinkat",  "readlinkat",
    "fchmod",  "fchown",  "fchownat", "fsetxattr", "utimensat", "getdents64",
    "fcntl",   "sendmsg", "recvmsg",  "recvfrom",
};

constexpr const char* kSumCalls[] = {"openat",     "openat2",    "fcntl",  "lseek",
                                     "getdents64", "readlinkat", "pread64"};

constexpr const char* kUserCalls[] = {"openat", "openat2", "fcntl", "lseek", "pread64"};

constexpr const char* kKeeperCalls[] = {
    "recvmsg", "sendto",       "fsetxattr",       "close", "wait4",  "waitid", "exit_group",
    "exit",    "rt_sigreturn", "restart_syscall", "write", "munmap", "brk",    "futex",
};

// What the sanitizers' runtimes call beside that: UBSan asks a pipe whether memory can be read.
constexpr const char* kSanitizerCalls[] = {"pipe2",  "sigaltstack", "gettid",         "getpid",
                                           "mremap", "madvise",     "rt_sigprocmask", "futex"};

Result<> Check(int rc, std::string_view what) {
  if (rc != 0) return ErrnoError(StrCat("sandbox: seccomp: ", what), -rc);
  return Ok();
}

template <size_t N>
Result<> Allow(void* filter, const char* const (&names)[N]) {
  for (const char* name : names) {
    const int number = seccomp_syscall_resolve_name(name);
    // Names that this machine or this libseccomp does not have cannot be called by it either.
    if (number == __NR_SCMP_ERROR || number < 0) continue;
    TRY(Check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0), name));
  }
  return Ok();
}

Result<> AllowThreads(void* filter) {
  constexpr scmp_datum_t kThread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
  constexpr scmp_datum_t kNew = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                                CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  TRY(Check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0_64(SCMP_CMP_MASKED_EQ, kThread | kNew, kThread)),
            "clone"));
  // Its flags lie in memory, where no filter can look; libc then takes clone.
  TRY(Check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3"));
  return Ok();
}

// No memory becomes executable any more.
Result<> AllowMemory(void* filter) {
  for (int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)})
    TRY(Check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                               SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)),
              "memory"));
  return Ok();
}

}  // namespace

Result<> FilterSyscalls(SyscallSet set) {
  const Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (!filter) return Error(Code::kInternal, "sandbox: seccomp is not available");
  TRY(Check(seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
            "architecture"));
  switch (set) {
    case SyscallSet::kLayer:
      TRY(Allow(filter.get(), kRuntime));
      TRY(Allow(filter.get(), kLayerCalls));
      TRY(AllowMemory(filter.get()));
      TRY(AllowThreads(filter.get()));
      break;
    case SyscallSet::kSum:
      TRY(Allow(filter.get(), kRuntime));
      TRY(Allow(filter.get(), kSumCalls));
      TRY(AllowMemory(filter.get()));
      break;
    case SyscallSet::kUser:
      TRY(Allow(filter.get(), kRuntime));
      TRY(Allow(filter.get(), kUserCalls));
      TRY(AllowMemory(filter.get()));
      break;
    case SyscallSet::kKeeper:
      TRY(Allow(filter.get(), kKeeperCalls));
      break;
  }
  if (kSanitized) {
    TRY(Allow(filter.get(), kSanitizerCalls));
    if (set == SyscallSet::kKeeper) TRY(AllowMemory(filter.get()));
  }
  return Check(seccomp_load(filter.get()), "load");
}

}  // namespace berth::image::unpack
