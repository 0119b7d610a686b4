// SPDX-License-Identifier: Apache-2.0
#include "monitor/pod_ns.h"

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

}  // namespace

Result<> EnterPodNamespaces(const Setup& setup) {
  for (const auto& [key, value] : setup.sysctls) {
    if (!IsIpcSysctl(key) || !setup.new_ipc)
      return Error(Code::kInvalidArgument,
                   StrCat("sysctl ", Quote(key), ": not of the pod's IPC namespace"));
  }
  const int flags = (setup.new_ipc ? CLONE_NEWIPC : 0) | (setup.new_uts ? CLONE_NEWUTS : 0);
  if (flags != 0 && ::unshare(flags) < 0) return ErrnoError("make pod namespaces");
  if (setup.new_uts && !setup.hostname.empty() &&
      ::sethostname(setup.hostname.data(), setup.hostname.size()) < 0)
    return ErrnoError("set hostname");
  for (const auto& [key, value] : setup.sysctls) TRY(os::WriteSysctl(key, value));
  return Ok();
}

Result<PidNsInit> StartPidNsInit() {
  os::Pipe ready = TRY(os::MakePipe());
  const long pid = ::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid < 0) return ErrnoError("make PID namespace");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ResetSignals();
    char name[] = "berth-init";
    char mode[] = "--init";
    char* argv[] = {name, mode, nullptr};
    char* envp[] = {nullptr};
    ::execve("/proc/self/exe", argv, envp);
    const int err = errno;
    (void)!::write(ready.write.get(), &err, sizeof err);
    ::_exit(1);
  }
  PidNsInit init;
  init.pid = static_cast<int>(pid);
  init.pidfd = OpenPidFd(init.pid);
  ready.write.Reset();
  // The pipe closes at exec; an errno in it says that there was none.
  int err = 0;
  ssize_t n;
  do n = ::read(ready.read.get(), &err, sizeof err);
  while (n < 0 && errno == EINTR);
  if (n == 0 && init.pidfd) return init;
  ::kill(init.pid, SIGKILL);
  while (::waitpid(init.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return ErrnoError("start init of PID namespace", n > 0 ? err : errno);
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
