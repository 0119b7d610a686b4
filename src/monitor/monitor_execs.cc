// SPDX-License-Identifier: Apache-2.0
// Exec sessions: `<runtime> exec --detach`, whose process becomes a child of the monitor, the
// nearest subreaper, so that its exit code comes from waitid(2) and no runtime process waits beside
// it.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "monitor/kill.h"
#include "monitor/monitor.h"
#include "monitor/pidfd.h"
#include "os/dir_fd.h"

namespace berth::monitor {

namespace {

constexpr size_t kMaxSessions = 1024;

// proc(5) oom_score_adj of the container's init, as it is now: an exec gets the same, and crun's exec leaves what it was
// started with. The init is our unreaped child, so the number is its own.
int OomScoreOf(int init, int otherwise) {
  os::Fd file(::open(StrCat("/proc/", init, "/oom_score_adj").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return otherwise;
  Result<std::string> text = os::ReadAll(file.get(), 16);
  if (!text) return otherwise;
  Result<int64_t> score = ParseInt(TrimSpace(*text), -1000, 1000, "oom_score_adj");
  return score ? static_cast<int>(*score) : otherwise;
}

}  // namespace

void Monitor::DoExec(ReplyTo to, Exec exec, Fds fds) {
  Result<> begun = BeginExec(to, exec, std::move(fds));
  if (!begun) ReplyError(to, begun.error());
}

Result<> Monitor::BeginExec(ReplyTo to, const Exec& exec, Fds fds) {
  Container* container = TRY(Find(exec.container_id));
  if (container->phase() != Phase::kRunning || container->deleting)
    return Error(Code::kFailedPrecondition,
                 StrCat("container ", exec.container_id, ": not running"));
  if (FindExec(exec.exec_id) != nullptr)
    return Error(Code::kAlreadyExists, StrCat("exec ", exec.exec_id, ": exists"));
  if (sessions_.size() >= kMaxSessions)
    return Error(Code::kResourceExhausted, "too many execs in the pod");
  const size_t stdio = exec.terminal ? 0 : 3;
  if (fds.size() != stdio && fds.size() != stdio + 1)
    return Error(Code::kInvalidArgument, "exec: wrong number of fds");

  auto session = std::make_unique<Session>();
  session->id = exec.exec_id;
  session->container_id = exec.container_id;
  session->kill_on_disconnect = exec.kill_on_disconnect;
  if (fds.size() > stdio) TRY(session->result.Open(loop_, std::move(fds[stdio])), "exec");
  const std::string number = NextNumber();
  const std::string calls = StrCat(setup_->pod_path, "/", kCallsDir, "/");
  CallSpec spec = RuntimeCall("exec", number, exec.timeout_ms);
  spec.oom_score_adj = OomScoreOf(container->pid(), spec.oom_score_adj);
  for (const std::string& arg :
       {std::string("--detach"), std::string("--process"), StrCat(calls, exec.exec_id, ".json"),
        std::string("--pid-file"), StrCat(calls, number, ".pid")})
    spec.args.push_back(arg);
  if (exec.terminal) {
    TRY(session->console.Listen(&calls_dir_, StrCat(number, ".sock")));
    spec.args.push_back("--console-socket");
    spec.args.push_back(session->console.Path());
  } else {
    for (const os::Fd& fd : fds) GiveToPod(fd.get());
    spec.std_in = fds[0].get();
    spec.std_out = fds[1].get();
    spec.std_err = fds[2].get();
  }
  spec.args.push_back(exec.container_id);
  TRY(RunProgram(std::move(spec), [this, to, id = exec.exec_id, number](Result<> called) {
    EndExec(to, id, number, std::move(called));
  }));
  // Our copies of the stdio end here: the reader must see the end when the exec's own are closed.
  sessions_.push_back(std::move(session));
  ++adopting_;
  (void)FAIL_POINT("monitor.exec.running");
  return Ok();
}

void Monitor::EndExec(ReplyTo to, const std::string& id, const std::string& number,
                      Result<> called) {
  --adopting_;
  orphans_pending_ = true;
  (void)FAIL_POINT("monitor.exec.called");
  Session* session = FindExec(id);
  if (session == nullptr)
    return ReplyError(to, Error(Code::kInternal, StrCat("exec ", id, ": lost")));
  (void)calls_dir_.RemoveFile(StrCat(id, ".json"));
  if (!called) (void)TakePid(number);
  Result<os::Fd> master =
      called ? AdoptExec(*session, number) : Result<os::Fd>(called.error().Clone());
  session->console.Close();
  if (!master) {
    session->ended = true;
    return ReplyError(to, master.error());
  }
  // No copy stays here: a client that vanishes hangs the terminal up.
  Fds fds;
  if (*master) fds.push_back(std::move(*master));
  (void)FAIL_POINT("monitor.exec.adopted");
  ReplyWith(to, PidAnswer{static_cast<uint32_t>(session->pid)}, fds);
  if (session->kill_wanted) KillExec({}, *session);
}

Result<os::Fd> Monitor::AdoptExec(Session& session, const std::string& number) {
  const int pid = TRY(TakePid(number), StrCat("exec ", session.id));
  os::Fd pidfd = OpenPidFd(pid);
  if (!pidfd) return ErrnoError(StrCat("exec ", session.id, ": open pidfd"));
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG | WNOWAIT) < 0)
    return Error(Code::kInternal, StrCat("exec ", session.id, ": is no child of the monitor"));
  Result<os::Fd> master =
      session.console.listening() ? session.console.TakeMaster() : Result<os::Fd>(os::Fd());
  if (!master) {
    // Nobody could talk to it; it is reaped as an orphan.
    (void)SendSignal(pidfd.get(), SIGKILL);
    return master;
  }
  TRY(session.process.Open(loop_, std::move(pidfd), EPOLLIN,
                           [this, &session](uint32_t) { ExecEnded(session); }));
  session.pid = pid;
  return master;
}

void Monitor::ExecEnded(Session& session) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(session.process.fd()), &info, WEXITED | WNOHANG) < 0 ||
      info.si_pid == 0)
    return;
  (void)FAIL_POINT("monitor.exec.ended");
  session.process.Close();
  session.ended = true;
  Exit exit;
  exit.finished_at = WallNanos();
  if (info.si_code == CLD_EXITED) {
    exit.code = static_cast<uint32_t>(info.si_status) & 0xff;
  } else {
    exit.signal = static_cast<uint32_t>(info.si_status) & 0x7f;
    exit.code = 128 + exit.signal;
  }
  if (session.result.open()) return session.result.Send(exit.code);
  server_.Send(server_.current(), Packet(Type::kExecExited, 0, ExecExited{session.id, exit}));
}

void Monitor::DoExecKill(ReplyTo to, ExecKill kill, Fds) {
  Session* session = FindExec(kill.exec_id);
  if (session == nullptr) return Reply(to, Ok());  // it has ended
  KillExec(to, *session);
}

void Monitor::KillExec(ReplyTo to, Session& session) {
  if (session.pid == 0) {  // still being started: killed as soon as it has a pid
    session.kill_wanted = true;
    return Reply(to, Ok());
  }
  if (session.ended) return Reply(to, Ok());
  // The process stays our unreaped child until its event is handled, so the number is its own for
  // the helper's first look; later looks are by session and checked.
  Result<> helper = RunHelper(
      "kill exec", [pid = session.pid] { return KillTree(pid); },
      [this, to](Result<> result) {
        if (!result) LogWarn(result.error().message());
        Reply(to, result);
      });
  if (!helper) ReplyError(to, helper.error());
}

}  // namespace berth::monitor
