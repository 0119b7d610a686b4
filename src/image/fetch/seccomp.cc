// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <type_traits>

#include "base/strings.h"
#include "image/fetch/sandbox.h"

namespace berth::image::fetch {

namespace {

struct FreeFilter {
  void operator()(void* context) const { seccomp_release(context); }
};

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

// Allowed for some arguments only.
struct Rule {
  const char* name;
  scmp_arg_cmp compare;
};

std::string_view TextOf(int rc) { return rc == -ENOMEM ? "no memory" : "refused by libseccomp"; }

class Filter {
 public:
  // EPERM instead of death: a library that tries something new gets an error that it can report.
  Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(EPERM))) {}

  void Allow(const char* name) { Add(SCMP_ACT_ALLOW, name, 0, {}); }
  void AllowIf(const Rule& rule) { Add(SCMP_ACT_ALLOW, rule.name, 1, rule.compare); }
  void Answer(int error, const char* name) {
    Add(SCMP_ACT_ERRNO(static_cast<uint32_t>(error)), name, 0, {});
  }
  Result<> Load() {
    if (!context_) return Error(Code::kResourceExhausted, "seccomp: no memory");
    if (failed_ == 0) failed_ = seccomp_load(context_.get());
    if (failed_ < 0) return Error(Code::kInternal, StrCat("seccomp: ", TextOf(failed_)));
    return Ok();
  }

 private:
  void Add(uint32_t action, const char* name, unsigned int count, scmp_arg_cmp compare) {
    const int number = seccomp_syscall_resolve_name(name);
    if (!context_ || failed_ < 0 || number == __NR_SCMP_ERROR) return;
    const int rc = seccomp_rule_add_array(context_.get(), action, number, count, &compare);
    // A pseudo number: the call does not exist on this architecture.
    if (rc < 0 && number >= 0) failed_ = rc;
  }

  std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, FreeFilter> context_;
  int failed_ = 0;
};

}  // namespace

Result<> InstallSeccomp() {
  Filter filter;
  for (const char* name : kAllowed) filter.Allow(name);
  const auto equal = [](unsigned int arg, uint64_t value) {
    return scmp_arg_cmp{arg, SCMP_CMP_EQ, value, 0};
  };
  const auto masked = [](unsigned int arg, uint64_t mask, uint64_t value) {
    return scmp_arg_cmp{arg, SCMP_CMP_MASKED_EQ, mask, value};
  };
  // No AF_UNIX: the host's abstract sockets are in reach of its network namespace (CVE-2020-15257).
  filter.AllowIf({"socket", equal(0, AF_INET)});
  filter.AllowIf({"socket", equal(0, AF_INET6)});
  filter.AllowIf({"socketpair", equal(0, AF_UNIX)});
  filter.AllowIf({"openat", masked(2, O_ACCMODE | O_CREAT | O_TMPFILE, O_RDONLY)});
  // Threads, not processes. clone3 hides its flags behind a pointer; glibc goes back to clone on
  // ENOSYS.
  constexpr uint64_t kThread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
  filter.AllowIf({"clone", masked(0, kThread, kThread)});
  filter.Answer(ENOSYS, "clone3");
  filter.AllowIf({"prlimit64", equal(2, 0)});   // reading
  filter.AllowIf({"ioctl", equal(1, 0x5421)});  // FIONBIO
  filter.AllowIf({"ioctl", equal(1, 0x541B)});  // FIONREAD: the resolver's
  return filter.Load();
}

}  // namespace berth::image::fetch
