// SPDX-License-Identifier: Apache-2.0
// One container: its init's pidfd, its stdio and log, its out-of-memory watch, and the way to its
// exit record. Owned by the Monitor; monitor thread.
//
//   OpenStdio -> (create call) -> Adopt --> kCreated --SetRunning--> kRunning
//                                              |                        |
//                                              +------ init ends -------+
//                                                          |
//        reaped, out-of-memory counter read; output drained (at most kDrainMs); no start call in flight
//                                                          |
//                        record written to exits/<id> --> kExited, `exited` called once
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "monitor/console.h"
#include "monitor/log_writer.h"
#include "monitor/loop.h"
#include "monitor/oom.h"
#include "monitor/output.h"
#include "monitor/protocol.h"
#include "monitor/result_end.h"
#include "os/dir_fd.h"
#include "os/fd.h"

namespace berth::monitor {

class Container {
 public:
  // A grandchild may keep the pipe open for ever; the exit is not held back longer than this.
  static constexpr int64_t kDrainMs = 500;
  struct Events {
    std::function<void(Container&)> init_ended;
    std::function<void(Container&)> exited;
  };

  Container(Loop* loop, const os::DirFd* pod, OomLedger* ledger, std::string id, Events events);

  // Before the create call: opens the log and makes the pipes, or the console socket named
  // `console`.
  Result<> OpenStdio(const Create& create, os::DirFd log_directory, const os::DirFd* calls,
                     const std::string& console);
  int child_stdin() const { return child_in_.get(); }  // -1: /dev/null or a terminal
  int child_stdout() const { return child_out_.get(); }
  int child_stderr() const { return child_err_.get(); }
  const Console& console() const { return console_; }
  // The create call has ended: the container has its ends of the pipes.
  void CloseChildEnds();
  // It has succeeded and `pid` is the init, a child of the monitor.
  Result<> Adopt(int pid);
  // It has failed: writes to the log what is in the pipes.
  void DrainOutput();

  const std::string& id() const { return id_; }
  Phase phase() const { return phase_; }
  int pid() const { return pid_; }
  bool init_alive() const { return init_.open(); }  // or not reaped yet: `pid` is its number
  const std::optional<Exit>& exit() const { return exit_; }
  const std::string& kill_group() const { return kill_group_; }
  bool own_pid_namespace() const { return own_pid_ns_; }
  void SetRunning() {
    if (phase_ == Phase::kCreated) phase_ = Phase::kRunning;
  }
  // While it is held, an exit is not reported: the answer of the start call comes first.
  void HoldExit(bool hold);

  Result<> Signal(int signal);
  Result<> ReopenLog() { return log_.Reopen(); }
  // The fds come in the order of AttachAnswer. A stdin with stdin_once is given away: its end ends
  // the container's. `result`, if valid, is told the exit code.
  Result<AttachAnswer> Attach(const monitor::Attach& wanted, os::Fd result,
                              std::vector<os::Fd>& fds);
  void Idle();

  bool busy = false;      // a create or start call is in flight
  bool deleting = false;  // Monitor's: a delete call is waiting or in flight

 private:
  static constexpr size_t kMaxAttached = 64;
  void WatchCgroup();
  Result<> KeepResult(os::Fd result);
  void InitEnded();
  void OutputEnded();
  void Finish();

  Loop* loop_;
  const os::DirFd* pod_;
  OomLedger* ledger_;
  std::string id_;
  Events events_;
  Phase phase_ = Phase::kCreated;
  int pid_ = 0;
  bool terminal_ = false;
  bool stdin_once_ = false;
  bool own_pid_ns_ = false;
  bool hold_exit_ = false;
  bool drain_over_ = false;
  std::string kill_group_;
  std::optional<Exit> ending_;  // the init is gone, the record is not written yet
  std::optional<Exit> exit_;

  os::Fd child_in_;
  os::Fd child_out_;
  os::Fd child_err_;
  Console console_;
  os::Fd stdin_;                                     // our end
  os::Fd master_;                                    // of the terminal
  std::vector<std::unique_ptr<ResultEnd>> results_;  // of attached clients
  LogFile log_;
  Output out_;
  Output err_;
  OomWatch oom_;
  Watch init_;
  Timer drain_;
};

}  // namespace berth::monitor
