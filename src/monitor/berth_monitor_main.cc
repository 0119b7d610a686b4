// SPDX-License-Identifier: Apache-2.0
// berth-monitor: one per pod, started by berthd with a listening socket as fd 3 and the pod's run
// directory as fd 4.
//   berth-monitor --init     first process of a shared PID namespace
//   berth-monitor --namespaces
//                            makes a user namespace and others that belong to it, for berthd to hold
//   berth-monitor --list-fail-points
//   berth-monitor --run [--private PATH] [--detach PATH] -- PROGRAM ARG...
//                            runs an OCI runtime as the monitor would, for a pod that has none any more
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "monitor/monitor.h"

namespace {

using namespace berth;
using namespace berth::monitor;

constexpr int kIdleMs = 2000;
constexpr const char* kOomScore = "-999";

int Fail(const Error& error) {
  LogError(StrCat("berth-monitor: ", error.message()));
  return 1;
}

// The score from before goes to children, unless it is the protection of a service (OOMScoreAdjust of
// berthd's unit): crun leaves what it finds when the container's is to be 0. What could not be set is
// said in Hello.
void SetOomScore(Monitor::Start& start) {
  os::Fd file(::open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC));
  char text[16] = {};
  const ssize_t n = file ? ::read(file.get(), text, sizeof text - 1) : -1;
  if (n > 0) {
    Result<int64_t> before = ParseInt(TrimSpace(text), -1000, 1000, "oom_score_adj");
    if (before) start.oom_score_adj = static_cast<int>(std::max<int64_t>(*before, 0));
  }
  if (!file || ::write(file.get(), kOomScore, std::strlen(kOomScore)) < 0)
    start.warning = StrCat("oom_score_adj ", kOomScore, ": ", std::strerror(errno));
}

Result<os::Fd> BlockSignals() {
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&wanted, signal);
  ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
  for (int signal : {SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM}) ::signal(signal, SIG_IGN);
  os::Fd fd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return ErrnoError("make signalfd");
  return fd;
}

// Sent by systemd-shutdown, which is what PID 1 has become after all units were stopped. It waits 90 s
// for each process that is left. systemd itself, or a person, may mean berthd's unit: pods outlive that.
bool MachineGoesDown(const signalfd_siginfo& info) {
  if (info.ssi_signo != SIGTERM || info.ssi_pid != 1) return false;
  os::Fd file(::open("/proc/1/comm", O_RDONLY | O_CLOEXEC));
  char name[17] = {};
  return file && ::read(file.get(), name, sizeof name - 1) > 0 &&
         std::string_view(name).starts_with("systemd-shutdow");  // the kernel keeps 15 letters
}

Result<> CheckStart() {
  for (int fd : {kListenerFd, kRunDirFd}) {
    struct stat st{};
    if (::fstat(fd, &st) < 0) return ErrnoError(StrCat("fd ", fd));
    if (fd == kListenerFd ? !S_ISSOCK(st.st_mode) : !S_ISDIR(st.st_mode))
      return Error(Code::kInvalidArgument, StrCat("fd ", fd, ": not what berthd gives"));
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  if (::chdir("/") < 0) return ErrnoError("change to /");
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) return ErrnoError("become subreaper");
  ::umask(022);
  return Ok();
}

Result<> RunMonitor() {
  TRY(CheckStart());
  TRY(ArmFailPointsFromEnvironment());
  Loop loop;
  TRY(loop.Open());
  Monitor::Start start;
  start.listener = os::Fd(kListenerFd);
  start.pod = os::DirFd(os::Fd(kRunDirFd));
  SetOomScore(start);
  Monitor monitor;
  TRY(monitor.Open(&loop, std::move(start)));
  Watch signals;
  bool stop = false;
  TRY(signals.Open(&loop, TRY(BlockSignals()), EPOLLIN, [&](uint32_t) {
    signalfd_siginfo info{};
    while (::read(signals.fd(), &info, sizeof info) == sizeof info) {
      // A monitor that guards nothing must not hold up whoever wants it gone.
      if (info.ssi_signo == SIGTERM && !monitor.has_containers()) stop = true;
      if (MachineGoesDown(info)) monitor.MachineGoesDown();
    }
    monitor.ReapOrphans();
  }));
  bool quiet = false;  // Idle has run since the last event
  while (!monitor.finished() && !stop) {
    const bool worked = TRY(loop.Round(quiet ? -1 : kIdleMs));
    monitor.Sweep();
    if (!worked) monitor.Idle();
    quiet = !worked;
  }
  return Ok();
}

Result<> ListFailPoints() {
  for (const std::string& name : FailPointNames())
    TRY(os::WriteAll(STDOUT_FILENO, StrCat(name, "\n")));
  return Ok();
}

Result<> RunProgram(int argc, char** argv) {
  MountPlan plan;
  int i = 2;
  for (; i + 1 < argc && std::strcmp(argv[i], "--") != 0; i += 2) {
    const std::string_view option = argv[i];
    if (option != "--private" && option != "--detach")
      return Error(Code::kInvalidArgument, StrCat("unknown option ", Quote(option)));
    (option == "--private" ? plan.private_paths : plan.detach_paths).emplace_back(argv[i + 1]);
  }
  if (i + 1 >= argc) return Error(Code::kInvalidArgument, "no program given");
  TRY(EnterMountNamespace(plan));
  ::execv(argv[i + 1], argv + i + 1);
  return ErrnoError(StrCat("execute ", argv[i + 1]));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--init") == 0) return RunPidNsInit();
  if (argc == 2 && std::strcmp(argv[1], "--namespaces") == 0) return RunNamespaceHolder();
  if (argc == 2 && std::strcmp(argv[1], "--list-fail-points") == 0) return ListFailPoints() ? 0 : 1;
  Result<> result =
      argc > 2 && std::strcmp(argv[1], "--run") == 0
          ? RunProgram(argc, argv)
          : (argc == 1 ? RunMonitor()
                       : Result<>(Error(Code::kInvalidArgument, "unknown arguments")));
  return result ? 0 : Fail(result.error());
}
