// SPDX-License-Identifier: Apache-2.0
#include "monitor/call.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"
#include "monitor/pidfd.h"

namespace berth::monitor {

namespace {

constexpr off_t kLogTail = 16 << 10;
constexpr size_t kMaxMessage = 2048;

void SetOomScore(int value) {
  os::Fd file(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (!file) return;
  // Best effort: the runtime sets what the container's spec says.
  (void)os::WriteAll(file.get(), StrCat(value));
}

Result<> GiveStdio(const CallSpec& spec, int log_fd) {
  os::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return ErrnoError("/dev/null");
  const int wanted[3] = {spec.std_in >= 0 ? spec.std_in : null.get(),
                         spec.std_out >= 0 ? spec.std_out : null.get(),
                         spec.std_err >= 0 ? spec.std_err : log_fd};
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(wanted[fd], fd) < 0) return ErrnoError("give stdio");
  }
  return Ok();
}

Result<> ExecProgram(const CallSpec& spec, int log_fd) {
  SetOomScore(spec.oom_score_adj);
  TRY(EnterMountNamespace(spec.mounts));
  TRY(GiveStdio(spec, log_fd));
  std::vector<char*> argv;
  argv.reserve(spec.args.size() + 1);
  for (const std::string& arg : spec.args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  // Close-on-exec and not closed: the log must stay open for the error, should exec fail.
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  // A security module may allow programs by their path only: then by its path.
  if (spec.program >= 0) ::execveat(spec.program, "", argv.data(), environ, AT_EMPTY_PATH);
  ::execve(spec.path.c_str(), argv.data(), environ);
  return ErrnoError(StrCat("execute ", spec.path));
}

int64_t MonotonicNanos() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

uint32_t Micros(const timeval& user, const timeval& system) {
  return static_cast<uint32_t>((user.tv_sec + system.tv_sec) * 1'000'000 + user.tv_usec +
                               system.tv_usec);
}

// The end of the log, however much a runtime has written.
std::string ReadTail(const os::DirFd& calls, const std::string& name) {
  Result<os::Fd> log = calls.Open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (!log) return "";
  const off_t size = ::lseek(log->get(), 0, SEEK_END);
  std::string text(static_cast<size_t>(kLogTail), '\0');
  const ssize_t n =
      ::pread(log->get(), text.data(), text.size(), size > kLogTail ? size - kLogTail : 0);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

// A JSON string's text up to its closing quote; \uXXXX becomes '?', which is good enough for a
// message.
std::string Unquote(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size() && text[i] != '"'; ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    if (c == 'u') {
      out += '?';
      i += 4;
    } else {
      out += c == 'n' || c == 't' || c == 'r' ? ' ' : c;
    }
  }
  return out;
}

}  // namespace

void ResetSignals() {
  for (int signal = 1; signal < 32; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::string LastMessage(std::string_view log) {
  constexpr std::string_view kKey = "\"msg\":\"";
  std::string message;
  if (const size_t at = log.rfind(kKey); at != std::string_view::npos)
    message = Unquote(log.substr(at + kKey.size()));
  else
    message = TrimSpace(log);
  if (message.size() > kMaxMessage) message.resize(kMaxMessage);
  return message;
}

Result<> Call::StartProgram(Loop* loop, const os::DirFd* calls, CallSpec spec, Done done) {
  name_ = spec.name;
  log_name_ = spec.log_name;
  time_ = spec.time;
  if (time_) time_->began_at = MonotonicNanos();
  return Fork(loop, calls, spec.timeout_ms, std::move(done),
              [&spec](int log_fd) { return ExecProgram(spec, log_fd); });
}

Result<> Call::StartHelper(Loop* loop, const os::DirFd* calls, std::string name,
                           std::string log_name, int64_t timeout_ms, std::function<Result<>()> work,
                           Done done) {
  name_ = std::move(name);
  log_name_ = std::move(log_name);
  return Fork(loop, calls, timeout_ms, std::move(done), [&work](int) { return work(); });
}

Result<> Call::Fork(Loop* loop, const os::DirFd* calls, int64_t timeout_ms, Done done,
                    const std::function<Result<>(int log_fd)>& child) {
  calls_ = calls;
  os::Fd log = TRY(calls->Open(log_name_, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const pid_t pid = ::fork();
  if (pid < 0) {
    Error error = ErrnoError(StrCat(name_, ": fork"));
    (void)calls->RemoveFile(log_name_);
    return error;
  }
  if (pid == 0) {
    ::setpgid(0, 0);
    ResetSignals();
    Result<> result = child(log.get());
    if (!result) (void)os::WriteAll(log.get(), result.error().message());
    ::_exit(result ? 0 : 125);
  }
  // Both sides set it, so that it is set whoever comes first.
  ::setpgid(pid, pid);
  pid_ = pid;
  done_ = std::move(done);
  os::Fd pidfd = OpenPidFd(pid);
  Result<> watched =
      pidfd ? exit_.Open(loop, std::move(pidfd), EPOLLIN, [this](uint32_t) { Ended(); })
            : Result<>(ErrnoError("open pidfd"));
  if (!watched) {
    ::kill(-pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    (void)calls->RemoveFile(log_name_);
    return watched;
  }
  if (timeout_ms > 0) {
    timeout_.Set(loop, timeout_ms, [this] {
      timed_out_ = true;
      // The leader is not reaped yet, so the number is still this group's.
      ::kill(-pid_, SIGKILL);
    });
  }
  return Ok();
}

void Call::Ended() {
  siginfo_t info{};
  rusage used{};
  // The C library's waitid has no place for the fifth argument.
  if (::syscall(SYS_waitid, P_PIDFD, exit_.fd(), &info, WEXITED | WNOHANG, &used) < 0 ||
      info.si_pid == 0)
    return;
  if (time_) {
    time_->took_us = static_cast<uint32_t>((MonotonicNanos() - time_->began_at) / 1000);
    time_->cpu_us = Micros(used.ru_utime, used.ru_stime);
  }
  exit_.Close();
  timeout_.Stop();
  finished_ = true;
  const bool exited = info.si_code == CLD_EXITED;
  done_(Outcome(exited ? info.si_status : 0, exited ? 0 : info.si_status));
}

Result<> Call::Outcome(int code, int signal) {
  std::string message;
  if (code != 0 || signal != 0 || timed_out_) {
    message = LastMessage(ReadTail(*calls_, log_name_));
  }
  (void)calls_->RemoveFile(log_name_);
  if (timed_out_)
    return Error(Code::kDeadlineExceeded, StrCat(name_, ": took too long and was killed",
                                                 message.empty() ? "" : ": ", message));
  if (code == 0 && signal == 0) return Ok();
  if (message.empty())
    message = signal != 0 ? StrCat("signal ", signal) : StrCat("exit code ", code);
  return Error(Code::kInternal, StrCat(name_, ": ", message));
}

}  // namespace berth::monitor
