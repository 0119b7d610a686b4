// SPDX-License-Identifier: Apache-2.0
// A child process held by pidfd, and the one spawn function (posix_spawn(3): safe in a threaded
// program, no fork). A Process is owned by whoever started it; its destructor kills and reaps
// unless Detach was called. Any one thread.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace berth::os {

struct ExitStatus {
  int code = 0;    // exit code; 128 + signal when killed
  int signal = 0;  // 0 when it exited by itself
  bool ok() const { return code == 0; }
};
std::string Describe(const ExitStatus& status);  // "exit code 3", "signal 9"

class Process {
 public:
  Process() = default;
  Process(pid_t pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  // A process that is not our child (found again after a restart): may be signalled and waited for
  // by poll, not reaped.
  static Result<Fd> OpenPidFd(pid_t pid);

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }
  bool valid() const { return pid_ > 0; }

  // pidfd_send_signal(2); a process that is gone is success.
  Result<> Kill(int signal) const;
  // Waits for the end and reaps (waitid P_PIDFD). Without a value: still running when the time is
  // over.
  Result<std::optional<ExitStatus>> Wait(std::chrono::nanoseconds timeout);
  Result<ExitStatus> Wait();
  // Lets it outlive this object; it must be reaped by somebody else. Returns the pidfd.
  [[nodiscard]] Fd Detach();

 private:
  pid_t pid_ = -1;
  Fd pidfd_;
};

struct FdMapping {
  int parent;  // our descriptor
  int child;   // its number in the child
};

struct SpawnOptions {
  std::string path;               // absolute path of the executable
  std::vector<std::string> args;  // argv, argv[0] included
  std::vector<std::string> env;   // "K=V", from scratch: nothing is inherited
  // Everything not listed is closed in the child (close_range). 0, 1, 2 not listed are /dev/null.
  std::vector<FdMapping> fds;
  bool new_session = false;
};
// Signals are unblocked and at their defaults in the child. NotFound or PermissionDenied for the
// executable.
Result<Process> Spawn(const SpawnOptions& options);

struct RunOptions {
  SpawnOptions spawn;  // fds 0, 1, 2 are taken by Run
  std::string input;   // given on stdin
  std::chrono::nanoseconds timeout = std::chrono::seconds(60);
  size_t output_limit = 1U << 20;  // bytes kept of stdout
  size_t error_limit = 64U << 10;  // bytes kept of stderr; the rest is drained and dropped
};
struct RunOutput {
  ExitStatus status;
  std::string out;
  std::string err;
};
// Runs a program to its end. DeadlineExceeded after the time (its process group is killed and
// reaped); ResourceExhausted if stdout exceeds its limit. Does not wait for grandchildren that keep
// a pipe open.
Result<RunOutput> Run(const RunOptions& options);

}  // namespace berth::os
