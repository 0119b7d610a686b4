// SPDX-License-Identifier: Apache-2.0
// One child process of the monitor that does a piece of work and ends: an OCI runtime call, or a
// helper that kills. Owned by the Monitor until it is finished; monitor thread. The child leads its
// own process group.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "monitor/loop.h"
#include "monitor/mount_ns.h"
#include "monitor/protocol.h"
#include "os/dir_fd.h"
#include "os/fd.h"

namespace berth::monitor {

struct CallSpec {
  std::string name;               // for messages: "crun create"
  std::string path;               // the program
  int program = -1;               // a copy of it to run instead; -1: none
  std::vector<std::string> args;  // argv, argv[0] included
  std::string log_name;  // in calls/: what the program says goes here and is the error's text
  MountPlan mounts;
  int std_in = -1;   // -1: /dev/null
  int std_out = -1;  // -1: /dev/null
  int std_err = -1;  // -1: the log file
  int64_t timeout_ms = 0;
  int oom_score_adj = 0;              // of the child
  std::shared_ptr<ProgramTime> time;  // set before `done` is called
};

class Call {
 public:
  using Done = std::function<void(Result<>)>;
  Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // Forks; `done` is called from the loop when the child has ended: Internal with the runtime's own
  // words, or DeadlineExceeded when its process group had to be killed. `calls` is the pod's calls/
  // directory, held by the Monitor.
  Result<> StartProgram(Loop* loop, const os::DirFd* calls, CallSpec spec, Done done);
  // Forks and runs `work` in the child; it must not touch the loop. Its error text comes back
  // through the log file.
  Result<> StartHelper(Loop* loop, const os::DirFd* calls, std::string name, std::string log_name,
                       int64_t timeout_ms, std::function<Result<>()> work, Done done);

  bool finished() const { return finished_; }
  int pid() const { return pid_; }

 private:
  Result<> Fork(Loop* loop, const os::DirFd* calls, int64_t timeout_ms, Done done,
                const std::function<Result<>(int log_fd)>& child);
  void Ended();
  Result<> Outcome(int code, int signal);

  const os::DirFd* calls_ = nullptr;
  std::string name_;
  std::string log_name_;
  int pid_ = -1;
  bool timed_out_ = false;
  bool finished_ = false;
  std::shared_ptr<ProgramTime> time_;
  Watch exit_;
  Timer timeout_;
  Done done_;
};

// The words of a runtime's log: the last "msg" of `--log-format json`, else the text itself,
// trimmed and cut.
std::string LastMessage(std::string_view log);

// Undoes for a child what the monitor did to itself: signal mask and dispositions.
void ResetSignals();

}  // namespace berth::monitor
