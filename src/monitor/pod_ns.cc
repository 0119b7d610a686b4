// SPDX-License-Identifier: Apache-2.0
#include "monitor/pod_ns.h"

#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"
#include "monitor/call.h"
#include "monitor/pidfd.h"
#include "os/netns.h"

namespace berth::monitor {

namespace {

// Those that an IPC namespace has a copy of (ipc_namespaces(7)): any other would change the host.
bool IsIpcSysctl(std::string_view key) {
  return key.starts_with("kernel.shm") || key.starts_with("kernel.msg") || key == "kernel.sem" ||
         key.starts_with("fs.mqueue.");
}

Result<> WriteSysctls(const Setup& setup) {
  for (const auto& [key, value] : setup.sysctls) TRY(os::WriteSysctl(key, value));
  return Ok();
}

// The kernel lets only that user write them who is root in the namespace's user namespace
// (ipc/ipc_sysctl.c).
Result<> WriteIpcSysctls(const Setup& setup) {
  if (setup.sysctls.empty()) return Ok();
  const uid_t own = ::geteuid();
  const bool other = setup.has_user_ns && own == 0;
  if (other && ::seteuid(setup.root_id) < 0) return ErrnoError("become the pod's root");
  Result<> written = WriteSysctls(setup);
  if (other) {
    if (::seteuid(own) < 0) return ErrnoError("become root again");
    // Changed users hide /proc/<pid>/ns from others.
    ::prctl(PR_SET_DUMPABLE, 1);
  }
  return written;
}

// Runs in the first process of the new namespace; does not return.
[[noreturn]] void BecomeInit(int ready) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ResetSignals();
  char name[] = "berth-init";
  char mode[] = "--init";
  char* argv[] = {name, mode, nullptr};
  char* envp[] = {nullptr};
  ::execve("/proc/self/exe", argv, envp);
  const int err = errno;
  (void)!::write(ready, &err, sizeof err);
  ::_exit(1);
}

int CloneInit(int flags, int ready) {
  const long pid =
      ::syscall(SYS_clone, CLONE_NEWPID | flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) BecomeInit(ready);
  return static_cast<int>(pid);
}

// A PID namespace belongs to the user namespace of who makes it. A process that enters it cannot
// come back, so a short-lived child does, and makes the init its own sibling.
Result<int> CloneInitIn(int user_ns, int ready) {
  os::Pipe number = TRY(os::MakePipe());
  const pid_t maker =
      static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (maker < 0) return ErrnoError("make PID namespace: child");
  if (maker == 0) {
    int pid = -1;
    if (::setns(user_ns, CLONE_NEWUSER) == 0 && ::setgroups(0, nullptr) == 0 &&
        ::setresgid(0, 0, 0) == 0 && ::setresuid(0, 0, 0) == 0)
      pid = CloneInit(CLONE_PARENT, ready);
    if (pid < 0) pid = -errno;
    (void)!::write(number.write.get(), &pid, sizeof pid);
    ::_exit(0);
  }
  number.write.Reset();
  int pid = 0;
  ssize_t n;
  do n = ::read(number.read.get(), &pid, sizeof pid);
  while (n < 0 && errno == EINTR);
  while (::waitpid(maker, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (n != sizeof pid) return Error(Code::kInternal, "make PID namespace: its maker died");
  if (pid < 0) return ErrnoError("make PID namespace", -pid);
  return pid;
}

}  // namespace

Result<> EnterPodNamespaces(const Setup& setup, const PodUserNs& ns) {
  for (const auto& [key, value] : setup.sysctls) {
    if (!IsIpcSysctl(key) || !setup.new_ipc)
      return Error(Code::kInvalidArgument,
                   StrCat("sysctl ", Quote(key), ": not of the pod's IPC namespace"));
  }
  const int flags = (setup.new_ipc ? CLONE_NEWIPC : 0) | (setup.new_uts ? CLONE_NEWUTS : 0);
  if (ns.user) {
    if (setup.new_ipc && ::setns(ns.ipc.get(), CLONE_NEWIPC) < 0)
      return ErrnoError("enter pod's IPC namespace");
    if (setup.new_uts && ::setns(ns.uts.get(), CLONE_NEWUTS) < 0)
      return ErrnoError("enter pod's UTS namespace");
  } else if (flags != 0 && ::unshare(flags) < 0) {
    return ErrnoError("make pod namespaces");
  }
  if (setup.new_uts && !setup.hostname.empty() &&
      ::sethostname(setup.hostname.data(), setup.hostname.size()) < 0)
    return ErrnoError("set hostname");
  return WriteIpcSysctls(setup);
}

Result<PidNsInit> StartPidNsInit(int user_ns) {
  os::Pipe ready = TRY(os::MakePipe());
  PidNsInit init;
  if (user_ns >= 0) {
    init.pid = TRY(CloneInitIn(user_ns, ready.write.get()));
  } else {
    init.pid = CloneInit(0, ready.write.get());
    if (init.pid < 0) return ErrnoError("make PID namespace");
  }
  init.pidfd = OpenPidFd(init.pid);
  ready.write.Reset();
  // The pipe closes at exec; an errno in it says that there was none.
  int err = 0;
  ssize_t n;
  do n = ::read(ready.read.get(), &err, sizeof err);
  while (n < 0 && errno == EINTR);
  if (n == 0 && init.pidfd) return init;
  // Not reaped yet, so the number is still its own.
  ::kill(init.pid, SIGKILL);
  while (::waitpid(init.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return ErrnoError("start init of PID namespace", n > 0 ? err : errno);
}

int RunNamespaceHolder() {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0) return 1;
  char byte = 0;
  if (::write(STDOUT_FILENO, &byte, 1) != 1) return 1;
  while (::read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) {
  }
  return 0;
}

int RunPidNsInit() {
  ::close_range(3, ~0U, 0);
  ::prctl(PR_SET_NAME, "berth-init");
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (int signal : {SIGCHLD, SIGTERM, SIGINT}) ::sigaddset(&wanted, signal);
  for (;;) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    const int signal = ::sigwaitinfo(&wanted, nullptr);
    if (signal == SIGTERM || signal == SIGINT) return 0;
  }
}

}  // namespace berth::monitor
