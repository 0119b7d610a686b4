// SPDX-License-Identifier: Apache-2.0
// The pod's state and what each request does to it. Owned by main; monitor thread.
// A request that needs the OCI runtime is answered when its call has ended; everything else at
// once.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "monitor/call.h"
#include "monitor/container.h"
#include "monitor/dialer.h"
#include "monitor/loop.h"
#include "monitor/pod_ns.h"
#include "monitor/protocol.h"
#include "monitor/result_end.h"
#include "monitor/server.h"
#include "os/dir_fd.h"

namespace berth::monitor {

class Monitor {
 public:
  struct Start {
    os::Fd listener;
    os::DirFd pod;          // the run directory
    std::string warning;    // for Hello
    int oom_score_adj = 0;  // what children get back
  };
  Result<> Open(Loop* loop, Start start);
  bool finished() const { return finished_; }
  bool has_containers() const { return !containers_.empty(); }
  // Ends with the last container. They have had their SIGTERM from whoever shuts the machine down;
  // kGoingDownMs later what is left gets SIGKILL.
  void MachineGoesDown();

  // After each round of the loop: destroys what has ended.
  void Sweep();
  // SIGCHLD: takes the ends of processes that nobody else waits for.
  void ReapOrphans();
  void Idle();

 private:
  static constexpr int64_t kGoingDownMs = 10'000;
  struct ReplyTo {
    uint64_t connection = 0;
    uint64_t id = 0;  // 0: nobody waits
  };
  struct Session {  // an exec
    std::string id;
    std::string container_id;
    int pid = 0;  // 0: it is being started
    bool kill_on_disconnect = false;
    bool kill_wanted = false;
    bool ended = false;
    Console console;
    ResultEnd result;  // not open: nobody but the daemon is told
    Watch process;
  };
  using Fds = std::vector<os::Fd>;

  // monitor.cc: dispatch
  Result<> Handle(Server::Request request);
  template <class T>
  Result<> With(Server::Request& request, void (Monitor::*action)(ReplyTo, T, Fds));
  void Closed(uint64_t connection);
  void Reply(ReplyTo to, const Result<>& result);
  void ReplyError(ReplyTo to, const Error& error);
  template <class T>
  void ReplyWith(ReplyTo to, const T& answer, const Fds& fds = {}) {
    if (to.id != 0) server_.Send(to.connection, OkReply(to.id, answer), fds);
  }

  // monitor_pod.cc: the pod
  void DoHello(ReplyTo to, Hello hello, Fds fds);
  void DoSetup(ReplyTo to, Setup setup, Fds fds);
  Result<> SetUp(Setup setup, Fds fds);
  uint32_t UserNsNumber() const;
  void GiveToPod(int fd) const;
  void DoShutdown(ReplyTo to);
  void ShutdownStep();
  void DoAttach(ReplyTo to, Attach attach, Fds fds);
  void DoDialer(ReplyTo to, Fds fds);

  // monitor_containers.cc
  void DoCreate(ReplyTo to, Create create, Fds fds);
  Result<> BeginCreate(ReplyTo to, const Create& create, Fds fds);
  void EndCreate(ReplyTo to, const std::string& id, const std::string& number,
                 const ProgramTime* time, Result<> called);
  void DoStart(ReplyTo to, ContainerCall call, Fds fds);
  void DoSignal(ReplyTo to, Signal signal, Fds fds);
  void DoKillAll(ReplyTo to, ContainerCall call, Fds fds);
  void DoDelete(ReplyTo to, ContainerCall call, Fds fds);
  void RunDelete(ReplyTo to, const std::string& id, uint32_t timeout_ms);
  void DoReopenLog(ReplyTo to, ContainerCall call, Fds fds);
  void DoUpdate(ReplyTo to, ContainerCall call, Fds fds);
  void InitEnded(Container& container);
  void ContainerEnded(Container& container);
  void Remove(const std::string& id);

  // monitor_execs.cc
  void DoExec(ReplyTo to, Exec exec, Fds fds);
  Result<> BeginExec(ReplyTo to, const Exec& exec, Fds fds);
  void EndExec(ReplyTo to, const std::string& id, const std::string& number, Result<> called);
  // The terminal's master, or nothing.
  Result<os::Fd> AdoptExec(Session& session, const std::string& number);
  void ExecEnded(Session& session);
  void DoExecKill(ReplyTo to, ExecKill kill, Fds fds);
  void KillExec(ReplyTo to, Session& session);

  // monitor_calls.cc: children
  Result<Container*> Find(const std::string& id);
  Session* FindExec(const std::string& id);
  std::string NextNumber();
  // The OCI runtime's command line up to the command itself, and what every call has in common.
  CallSpec RuntimeCall(const std::string& command, const std::string& number, uint32_t timeout_ms);
  Result<> RunProgram(CallSpec spec, Call::Done done);
  Result<> RunHelper(const std::string& name, std::function<Result<>()> work, Call::Done done);
  // calls/<number>.pid
  Result<int> TakePid(const std::string& number);
  bool IsWaitedFor(int pid) const;

  Loop* loop_ = nullptr;
  os::DirFd pod_;
  os::DirFd calls_dir_;
  std::string warning_;
  int oom_score_adj_ = 0;
  Server server_;
  std::optional<Setup> setup_;
  os::Fd shm_;
  os::Fd program_;  // see Setup
  os::Fd user_ns_;  // what /proc/<pid>/fd/<n> in the containers' specs leads to
  PidNsInit init_;
  OomLedger oom_ledger_;
  std::vector<std::unique_ptr<Container>> containers_;
  std::vector<std::unique_ptr<Container>> removed_;  // destroyed by Sweep
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<std::unique_ptr<Dialer>> dialers_;
  std::vector<std::unique_ptr<Call>> calls_;
  struct Waiter {
    std::string container_id;
    ReplyTo to;
    uint32_t timeout_ms;
  };
  std::vector<Waiter> deletes_;  // wait for an exit
  uint64_t next_number_ = 1;
  // Create and exec calls in flight: their processes must not be taken for orphans.
  int adopting_ = 0;
  bool orphans_pending_ = false;
  std::optional<ReplyTo> shutdown_;
  bool going_down_ = false;
  Timer going_down_kill_;
  bool finished_ = false;
};

}  // namespace berth::monitor
