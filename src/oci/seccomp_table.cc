// SPDX-License-Identifier: Apache-2.0
// The system calls of the RuntimeDefault filter by topic. syscalls(2) lists them with the kernel
// that brought each.
#include <algorithm>

#include "base/strings.h"
#include "oci/seccomp.h"

namespace berth::oci::internal {

namespace {

// Who the process is: ids, groups, sessions, limits, capabilities.
constexpr std::string_view kIdentity =
    "capget capset getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups "
    "getgroups32 getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 "
    "getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get "
    "ioprio_set landlock_add_rule landlock_create_ruleset landlock_restrict_self "
    "lsm_get_self_attr lsm_list_modules lsm_set_self_attr prctl prlimit64 seccomp setfsgid "
    "setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority "
    "setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 "
    "setrlimit setsid setuid setuid32 sysinfo times ugetrlimit umask uname";

// Scheduling and processor affinity.
constexpr std::string_view kScheduling =
    "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr "
    "sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 "
    "sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield";

// Processes and threads.
constexpr std::string_view kProcess =
    "execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait "
    "futex_waitv futex_wake get_robust_list get_thread_area kill membarrier pidfd_open "
    "pidfd_send_signal process_mrelease process_vm_readv process_vm_writev ptrace "
    "restart_syscall rseq set_robust_list set_thread_area set_tid_address tgkill tkill "
    "uretprobe vfork wait4 waitid waitpid";

// Signals.
constexpr std::string_view kSignal =
    "alarm pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack "
    "signalfd signalfd4 sigprocmask sigreturn";

// Clocks and timers.
constexpr std::string_view kTime =
    "adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep "
    "setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
    "timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 "
    "timerfd_settime timerfd_settime64";

// Memory.
constexpr std::string_view kMemory =
    "brk cachestat madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 "
    "mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc "
    "pkey_free pkey_mprotect remap_file_pages";

// System V and POSIX inter-process communication.
constexpr std::string_view kIpc =
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
    "mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop "
    "semtimedop_time64 shmat shmctl shmdt shmget";

// Sockets; socket(2) itself is in the rules with arguments.
constexpr std::string_view kSocket =
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom "
    "recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown "
    "socketcall socketpair";

// Waiting for descriptors, and asynchronous I/O through aio(7).
constexpr std::string_view kWaiting =
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 "
    "epoll_wait epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init "
    "inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents "
    "io_pgetevents_time64 io_setup io_submit poll ppoll ppoll_time64 pselect6 pselect6_time64 "
    "select";

// Extended attributes.
constexpr std::string_view kAttributes =
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr "
    "listxattrat llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr "
    "setxattrat";

// Open descriptors: reading, writing, copying.
constexpr std::string_view kDescriptor =
    "_llseek close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fallocate "
    "fcntl fcntl64 fdatasync flock fsync ftruncate ftruncate64 ioctl lseek pipe pipe2 pread64 "
    "preadv preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice "
    "sync sync_file_range syncfs tee truncate truncate64 vmsplice write writev";

// Files by name, and what is known about them.
constexpr std::string_view kFiles =
    "access chdir chmod chown chown32 creat faccessat faccessat2 fchdir fchmod fchmodat "
    "fchmodat2 fchown fchown32 fchownat fstat fstat64 fstatat64 fstatfs fstatfs64 futimesat "
    "getcwd getdents getdents64 lchown lchown32 link linkat listmount lstat lstat64 mkdir "
    "mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 readlink "
    "readlinkat rename renameat renameat2 rmdir stat stat64 statfs statfs64 statmount statx "
    "symlink symlinkat unlink unlinkat utime utimensat utimensat_time64 utimes";

// x86: thread-local storage and segment tables of 32-bit programs.
constexpr std::string_view kAmd64Only = "arch_prctl modify_ldt";

// arm64, and 32-bit arm programs on it.
constexpr std::string_view kArm64Only =
    "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2";

// Kernel keys, io_uring, swap, kexec, page moving: no capability opens them, since no container
// needs them or their history of holes is long. What no supported kernel has any more is not
// listed: ENOSYS is its own answer.
constexpr std::string_view kNever =
    "add_key io_uring_enter io_uring_register io_uring_setup kexec_file_load kexec_load keyctl "
    "migrate_pages move_pages pivot_root request_key swapoff swapon userfaultfd vm86 vm86old";

void Append(std::vector<std::string>& out, std::string_view words) {
  for (std::string_view word : Split(words, ' ')) out.emplace_back(word);
}

}  // namespace

std::vector<std::string> AlwaysAllowedCalls(Arch arch) {
  std::vector<std::string> out;
  for (std::string_view words : {kIdentity, kScheduling, kProcess, kSignal, kTime, kMemory, kIpc,
                                 kSocket, kWaiting, kAttributes, kDescriptor, kFiles}) {
    Append(out, words);
  }
  if (arch == Arch::kAmd64) Append(out, kAmd64Only);
  if (arch == Arch::kArm64) Append(out, kArm64Only);
  std::sort(out.begin(), out.end());
  return out;
}

// One call may stand under several capabilities: any one of them opens it.
const std::vector<ConditionalCalls>& CapabilityCalls() {
  static const std::vector<ConditionalCalls> kCalls = {
      {"BPF", "bpf"},
      {"DAC_READ_SEARCH", "open_by_handle_at"},
      {"PERFMON", "perf_event_open"},
      {"SYSLOG", "syslog"},
      {"SYS_ADMIN",
       "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount "
       "mount_setattr move_mount "
       "open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname "
       "setns syslog umount "
       "umount2 unshare"},
      {"SYS_BOOT", "reboot"},
      {"SYS_CHROOT", "chroot"},
      {"SYS_MODULE", "delete_module finit_module init_module"},
      {"SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
      {"SYS_PACCT", "acct"},
      {"SYS_PTRACE", "kcmp pidfd_getfd process_madvise"},
      {"SYS_RAWIO", "ioperm iopl"},
      {"SYS_TIME", "clock_settime clock_settime64 settimeofday stime"},
      {"SYS_TTY_CONFIG", "vhangup"},
  };
  return kCalls;
}

std::vector<std::string> NeverAllowedCalls() {
  std::vector<std::string> out;
  Append(out, kNever);
  return out;
}

}  // namespace berth::oci::internal
