// SPDX-License-Identifier: Apache-2.0
// Opening, dispatch of requests, and tidying up after each round.
#include "monitor/monitor.h"

#include <malloc.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>

#include "base/strings.h"

namespace berth::monitor {

Result<> Monitor::Open(Loop* loop, Start start) {
  loop_ = loop;
  pod_ = std::move(start.pod);
  warning_ = std::move(start.warning);
  oom_score_adj_ = start.oom_score_adj;
  calls_dir_ = TRY(pod_.MakeOrOpenDir(kCallsDir, 0700));
  TRY(pod_.MakeOrOpenDir(kExitsDir, 0700));
  return server_.Open(loop, std::move(start.listener),
                      {[this](Server::Request request) { return Handle(std::move(request)); },
                       [this](uint64_t connection) { Closed(connection); }});
}

template <class T>
Result<> Monitor::With(Server::Request& request, void (Monitor::*action)(ReplyTo, T, Fds)) {
  T message;
  wire::Reader reader(request.body);
  TRY(Decode(reader, message));
  (this->*action)({request.connection, request.header.id}, std::move(message),
                  std::move(request.fds));
  return Ok();
}

Result<> Monitor::Handle(Server::Request request) {
  const ReplyTo to{request.connection, request.header.id};
  if (request.header.type == Type::kHello) return With(request, &Monitor::DoHello);
  if (request.connection != server_.current())
    return Error(Code::kFailedPrecondition, "request before hello");
  if (request.header.type == Type::kPing) {
    Reply(to, Ok());
    return Ok();
  }
  if (request.header.type == Type::kSetup) return With(request, &Monitor::DoSetup);
  if (request.header.type == Type::kShutdown) {
    DoShutdown(to);
    return Ok();
  }
  if (!setup_ || shutdown_) {
    ReplyError(to,
               Error(Code::kFailedPrecondition, setup_ ? "pod is ending" : "pod is not set up"));
    return Ok();
  }
  switch (request.header.type) {
    case Type::kCreate:
      return With(request, &Monitor::DoCreate);
    case Type::kStart:
      return With(request, &Monitor::DoStart);
    case Type::kSignal:
      return With(request, &Monitor::DoSignal);
    case Type::kKillAll:
      return With(request, &Monitor::DoKillAll);
    case Type::kDelete:
      return With(request, &Monitor::DoDelete);
    case Type::kExec:
      return With(request, &Monitor::DoExec);
    case Type::kExecKill:
      return With(request, &Monitor::DoExecKill);
    case Type::kReopenLog:
      return With(request, &Monitor::DoReopenLog);
    case Type::kUpdate:
      return With(request, &Monitor::DoUpdate);
    case Type::kAttach:
      return With(request, &Monitor::DoAttach);
    case Type::kDialer:
      DoDialer(to, std::move(request.fds));
      return Ok();
    default:
      break;
  }
  const auto number = static_cast<uint32_t>(request.header.type);
  ReplyError(to, Error(Code::kUnimplemented, StrCat("request type ", number, ": unknown")));
  return Ok();
}

void Monitor::Closed(uint64_t) {
  if (server_.current() != 0) return;  // replaced by a newer connection of the same daemon
  for (auto& session : sessions_) {
    if (session->kill_on_disconnect) KillExec({}, *session);
  }
}

void Monitor::Reply(ReplyTo to, const Result<>& result) {
  if (!result) return ReplyError(to, result.error());
  if (to.id != 0) server_.Send(to.connection, OkReply(to.id));
}

void Monitor::ReplyError(ReplyTo to, const Error& error) {
  if (to.id != 0) server_.Send(to.connection, ErrorReply(to.id, error));
}

void Monitor::Sweep() {
  removed_.clear();
  std::erase_if(calls_, [](const auto& call) { return call->finished(); });
  std::erase_if(sessions_, [](const auto& session) { return session->ended; });
  std::erase_if(dialers_, [](const auto& dialer) { return !dialer->open(); });
  if (orphans_pending_) ReapOrphans();
  if (shutdown_) ShutdownStep();
  auto lives = [](const auto& c) { return c->pid() != 0 && c->phase() != Phase::kExited; };
  if (going_down_ && std::ranges::none_of(containers_, lives)) finished_ = true;
}

void Monitor::MachineGoesDown() {
  if (going_down_) return;
  going_down_ = true;
  going_down_kill_.Set(loop_, kGoingDownMs, [this] {
    for (auto& container : containers_) (void)container->Signal(SIGKILL);
  });
}

bool Monitor::IsWaitedFor(int pid) const {
  return std::any_of(calls_.begin(), calls_.end(),
                     [pid](const auto& call) { return call->pid() == pid && !call->finished(); }) ||
         std::any_of(containers_.begin(), containers_.end(),
                     [pid](const auto& c) { return c->pid() == pid && c->init_alive(); }) ||
         std::any_of(sessions_.begin(), sessions_.end(),
                     [pid](const auto& session) { return session->pid == pid && !session->ended; });
}

void Monitor::ReapOrphans() {
  orphans_pending_ = true;
  // While a create or exec is in flight the process that it is about to name may have ended
  // already; it stays a zombie until the call has ended, so that its exit code is not lost.
  while (adopting_ == 0) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0) {
      orphans_pending_ = false;
      return;
    }
    // The first zombie is shown again and again: one that has a watch must be taken by it before we
    // see the next.
    if (IsWaitedFor(info.si_pid)) return;
    ::waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);
  }
}

void Monitor::Idle() {
  for (auto& container : containers_) container->Idle();
  ReleaseBuffers();
  ::malloc_trim(0);
}

}  // namespace berth::monitor
