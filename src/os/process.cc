// SPDX-License-Identifier: Apache-2.0
#include "os/process.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "os/process_internal.h"

namespace berth::os {

std::string Describe(const ExitStatus& status) {
  if (status.signal != 0) return StrCat("signal ", status.signal);
  return StrCat("exit code ", status.code);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this == &other) return *this;
  Process old(std::move(*this));  // killed and reaped at the end of this scope
  pid_ = std::exchange(other.pid_, -1);
  pidfd_ = std::move(other.pidfd_);
  return *this;
}

Process::~Process() {
  if (!valid()) return;
  (void)Kill(SIGKILL);
  Result<ExitStatus> ended = Wait();
  if (!ended) LogWarn(ended.error().message());
}

Result<Fd> Process::OpenPidFd(pid_t pid) {
  if (pid <= 0) return Error(Code::kInvalidArgument, StrCat("pid ", pid, ": not a process"));
  Fd pidfd(internal::PidfdOpen(pid));
  if (pidfd) return pidfd;
  const int err = errno;
  Error error = ErrnoError(StrCat("pid ", pid), err);
  if (err == ESRCH) return std::move(error).WithCode(Code::kNotFound);
  return error;
}

Result<> Process::Kill(int signal) const {
  if (internal::PidfdSendSignal(pidfd_.get(), signal) == 0 || errno == ESRCH) return Ok();
  return ErrnoError(StrCat("send signal ", signal, " to pid ", pid_));
}

Result<std::optional<ExitStatus>> Process::Wait(std::chrono::nanoseconds timeout) {
  if (!valid()) return Error(Code::kFailedPrecondition, "wait: no process");
  using SteadyClock = std::chrono::steady_clock;
  const auto deadline = SteadyClock::now() + timeout;
  for (;;) {
    auto left = std::max(deadline - SteadyClock::now(), SteadyClock::duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec ts{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
    pollfd end{pidfd_.get(), POLLIN, 0};
    const int ready = ::ppoll(&end, 1, &ts, nullptr);
    if (ready > 0) return std::optional<ExitStatus>(TRY(Wait()));
    if (ready == 0) return std::optional<ExitStatus>();
    if (errno != EINTR) return ErrnoError(StrCat("wait for pid ", pid_));
  }
}

Result<ExitStatus> Process::Wait() {
  if (!valid()) return Error(Code::kFailedPrecondition, "wait: no process");
  siginfo_t info{};
  int rc;
  do rc = ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
  while (rc < 0 && errno == EINTR);
  const int err = errno;
  const pid_t pid = std::exchange(pid_, -1);  // reaped, or never ours to reap
  pidfd_.Reset();
  if (rc < 0) return ErrnoError(StrCat("wait for pid ", pid), err);
  if (info.si_code == CLD_EXITED) return ExitStatus{info.si_status, 0};
  return ExitStatus{128 + info.si_status, info.si_status};
}

Fd Process::Detach() {
  pid_ = -1;
  return std::move(pidfd_);
}

}  // namespace berth::os
