// SPDX-License-Identifier: Apache-2.0
#include "monitor/container.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "monitor/kill.h"
#include "monitor/pidfd.h"

namespace berth::monitor {

namespace {

constexpr const char* kCgroupRoot = "/sys/fs/cgroup";

bool SamePidNamespace(int pid) {
  struct stat theirs{};
  struct stat ours{};
  return ::stat(StrCat("/proc/", pid, "/ns/pid").c_str(), &theirs) < 0 ||
         ::stat("/proc/self/ns/pid", &ours) < 0 || theirs.st_ino == ours.st_ino;
}

}  // namespace

Container::Container(Loop* loop, const os::DirFd* pod, OomLedger* ledger, std::string id,
                     Events events)
    : loop_(loop),
      pod_(pod),
      ledger_(ledger),
      id_(std::move(id)),
      events_(std::move(events)),
      out_(loop, &log_, "stdout", [this] { OutputEnded(); }),
      err_(loop, &log_, "stderr", [this] { OutputEnded(); }) {}

Result<> Container::OpenStdio(const Create& create, os::DirFd log_directory, const os::DirFd* calls,
                              const std::string& console) {
  terminal_ = create.terminal;
  stdin_once_ = create.stdin_once;
  if (create.has_log) log_ = TRY(LogFile::Open(std::move(log_directory), create.log_path));
  if (terminal_) return console_.Listen(calls, console);
  child_out_ = TRY(out_.OpenPipe());
  child_err_ = TRY(err_.OpenPipe());
  if (create.stdin_open) {
    os::Pipe pipe = TRY(os::MakePipe());
    child_in_ = std::move(pipe.read);
    stdin_ = std::move(pipe.write);
  }
  return Ok();
}

void Container::CloseChildEnds() {
  child_in_.Reset();
  child_out_.Reset();
  child_err_.Reset();
}

void Container::DrainOutput() {
  CloseChildEnds();
  out_.Drain();
  err_.Drain();
}

Result<> Container::Adopt(int pid) {
  os::Fd pidfd = OpenPidFd(pid);
  if (!pidfd) return ErrnoError(StrCat("init ", pid, ": open pidfd"));
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG | WNOWAIT) < 0)
    return Error(Code::kInternal, StrCat("init ", pid, ": is no child of the monitor"));
  if (terminal_) {
    master_ = TRY(console_.TakeMaster());
    console_.Close();
    TRY(out_.OpenTerminal(TRY(master_.Duplicate())));
  }
  pid_ = pid;
  own_pid_ns_ = !SamePidNamespace(pid);
  WatchCgroup();
  return init_.Open(loop_, std::move(pidfd), EPOLLIN, [this](uint32_t) { InitEnded(); });
}

void Container::WatchCgroup() {
  auto groups = ReadGroups(pid_);
  auto own = ReadGroups(0);
  if (!groups || !own) return;
  kill_group_ = KillableGroup(*groups, *own);
  // The counters of a group that is not the container's alone would blame it for others.
  const char* controller = groups->contains("memory") ? "memory" : "";
  if (!groups->contains(controller) || (*groups)[controller] == (*own)[controller]) return;
  Result<> watched = oom_.Open(loop_, kCgroupRoot, *groups, ledger_);
  if (!watched) LogWarn(StrCat("container ", id_, ": ", watched.error().message()));
}

void Container::InitEnded() {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(init_.fd()), &info, WEXITED | WNOHANG) < 0 ||
      info.si_pid == 0)
    return;
  Exit exit;
  exit.finished_at = WallNanos();
  if (info.si_code == CLD_EXITED) {
    exit.code = static_cast<uint32_t>(info.si_status) & 0xff;
  } else {
    exit.signal = static_cast<uint32_t>(info.si_status) & 0x7f;
    exit.code = 128 + exit.signal;
  }
  exit.oom_killed = oom_.Killed(exit.signal == SIGKILL);
  oom_.Close();
  init_.Close();
  stdin_.Reset();
  ending_ = exit;
  events_.init_ended(*this);
  drain_.Set(loop_, kDrainMs, [this] {
    drain_over_ = true;
    Finish();
  });
  out_.Drain();
  err_.Drain();
  Finish();
}

void Container::OutputEnded() { Finish(); }

void Container::HoldExit(bool hold) {
  hold_exit_ = hold;
  if (!hold) Finish();
}

void Container::Finish() {
  if (!ending_ || exit_ || hold_exit_) return;
  if (!drain_over_ && (out_.reading() || err_.reading())) return;
  drain_.Stop();
  (void)FAIL_POINT("monitor.exit.seen");
  Result<> written = pod_->WriteFile(StrCat(kExitsDir, "/", id_), ExitToText(*ending_), 0600);
  // Reported all the same: the daemon that listens now can still keep it.
  if (!written) LogError(StrCat("container ", id_, ": exit record: ", written.error().message()));
  exit_ = ending_;
  phase_ = Phase::kExited;
  for (auto& result : results_) result->Send(exit_->code);
  results_.clear();
  if (log_.dropped_bytes() > 0)
    LogWarn(StrCat("container ", id_, ": log: ", log_.dropped_bytes(), " bytes were dropped"));
  events_.exited(*this);
}

Result<> Container::Signal(int signal) {
  if (!init_.open()) return Ok();  // it has ended
  if (SendSignal(init_.fd(), signal) < 0 && errno != ESRCH)
    return ErrnoError(StrCat("container ", id_, ": signal ", signal));
  return Ok();
}

Result<> Container::KeepResult(os::Fd result) {
  std::erase_if(results_, [](const auto& end) { return !end->open(); });
  if (results_.size() >= kMaxAttached)
    return Error(Code::kResourceExhausted,
                 StrCat("container ", id_, ": too many attached clients"));
  auto end = std::make_unique<ResultEnd>();
  TRY(end->Open(loop_, std::move(result)));
  results_.push_back(std::move(end));
  return Ok();
}

Result<AttachAnswer> Container::Attach(const monitor::Attach& wanted, os::Fd result,
                                       std::vector<os::Fd>& fds) {
  AttachAnswer answer;
  // What can fail comes first: a stdin that is given away is not to be had again. A terminal's output comes with its
  // master whoever wants it, so that nobody reads the master and takes the log's bytes.
  os::Fd out;
  os::Fd err;
  os::Fd terminal;
  if ((wanted.stdout_wanted || master_) && out_.reading()) out = TRY(out_.Attach());
  if (wanted.stderr_wanted && err_.reading()) err = TRY(err_.Attach());
  if (master_) terminal = TRY(master_.Duplicate());
  os::Fd in;
  if (wanted.stdin_wanted && stdin_ && !stdin_once_) in = TRY(stdin_.Duplicate());
  if (result) TRY(KeepResult(std::move(result)));
  if (wanted.stdin_wanted && stdin_ && stdin_once_) in = std::move(stdin_);
  answer.has_stdin = in.valid();
  answer.has_stdout = out.valid();
  answer.has_stderr = err.valid();
  answer.has_terminal = terminal.valid();
  for (os::Fd* fd : {&in, &out, &err, &terminal})
    if (*fd) fds.push_back(std::move(*fd));
  return answer;
}

void Container::Idle() {
  out_.Idle();
  err_.Idle();
}

}  // namespace berth::monitor
