// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec_sync.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/fail_point.h"
#include "base/strings.h"

namespace berth::runtime {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Deadline = std::optional<steady_clock::time_point>;

constexpr milliseconds kKillLimit{120'000};
constexpr std::chrono::hours kLongest{24 * 365};  // what is longer would overflow
constexpr milliseconds kGrace{5'000};             // the monitor's own time limit comes first

int PollTimeout(const Deadline& deadline) {
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<milliseconds>(*deadline - steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT32_MAX));
}

struct Stream {
  os::Fd fd;
  std::string kept;
};

// Room for more of a stream when both together may have `limit` bytes: each is certain of half.
size_t Room(const Stream& stream, const Stream& other, size_t limit) {
  const size_t most = std::max(limit / 2, limit - std::min(limit, other.kept.size()));
  return most - std::min(most, stream.kept.size());
}

// Keeps what fits and drops the rest: the process must never wait for a full pipe.
void ReadStream(Stream& stream, Stream& other, size_t limit) {
  std::array<char, 65536> buffer;
  ssize_t n;
  do n = ::read(stream.fd.get(), buffer.data(), buffer.size());
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    stream.fd.Reset();
    return;
  }
  const size_t more = std::min(static_cast<size_t>(n), Room(stream, other, limit));
  stream.kept.append(buffer.data(), more);
  // What the other one had beyond its half was only lent.
  if (stream.kept.size() + other.kept.size() > limit) other.kept.resize(limit - stream.kept.size());
}

// One poll over both streams and the end of the process. False: the time is over.
Result<bool> ReadRound(std::array<Stream, 2>& streams, int ended_fd, const Deadline& deadline,
                       size_t limit) {
  std::array<pollfd, 3> fds{
      {{streams[0].fd.get(), POLLIN, 0}, {streams[1].fd.get(), POLLIN, 0}, {ended_fd, POLLIN, 0}}};
  const int n = ::poll(fds.data(), fds.size(), PollTimeout(deadline));
  if (n < 0 && errno != EINTR) return ErrnoError("poll");
  if (n == 0) return false;
  for (size_t i = 0; i < 2; ++i)
    if (n > 0 && fds[i].fd >= 0 && fds[i].revents != 0)
      ReadStream(streams[i], streams[1 - i], limit);
  return true;
}

bool Ended(ExecWait& wait) { return wait.exit.Lock()->has_value() || *wait.lost.Lock(); }

// Until the process has ended and both streams are closed, or have been given time enough after the
// end. False: it goes on, but the time is over or nobody waits any more.
Result<bool> Collect(std::array<Stream, 2>& streams, ExecWait& wait, const Deadline& deadline,
                     const std::stop_token& cancelled, size_t limit) {
  std::stop_callback wake(cancelled, [&wait] {
    const uint64_t one = 1;
    (void)!::write(wait.ready.get(), &one, sizeof one);
  });
  while (!Ended(wait)) {
    if (cancelled.stop_requested()) return false;
    if (!TRY(ReadRound(streams, wait.ready.get(), deadline, limit))) return false;
  }
  const Deadline drained = steady_clock::now() + kExecDrain;
  while (streams[0].fd || streams[1].fd) {
    if (!TRY(ReadRound(streams, -1, drained, limit))) break;
  }
  return true;
}

CallLimits Limits(milliseconds total, const ExecRequest& request) {
  CallLimits limits(total);
  limits.cancelled = request.cancelled;
  return limits;
}

Result<> StartExec(MonitorClient& client, const ExecRequest& request, const std::string& exec_id,
                   std::array<Stream, 2>& streams, const Deadline& deadline, milliseconds limit) {
  os::Pipe out = TRY(os::MakePipe());
  os::Pipe err = TRY(os::MakePipe());
  os::Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return ErrnoError("/dev/null");
  if (deadline) limit = std::min(limit, milliseconds(std::max(1, PollTimeout(deadline))));
  monitor::Exec exec;
  exec.container_id = request.container_id;
  exec.exec_id = exec_id;
  exec.kill_on_disconnect = true;
  exec.timeout_ms = static_cast<uint32_t>(limit.count());
  const std::array<int, 3> fds{null.get(), out.write.get(), err.write.get()};
  TRY(FAIL_STEP("exec.begin",
                client.Call(monitor::Type::kExec, exec, Limits(limit + kGrace, request), fds)));
  streams[0].fd = std::move(out.read);
  streams[1].fd = std::move(err.read);
  for (Stream& stream : streams) TRY(os::SetNonBlocking(stream.fd.get(), true));
  return Ok();
}

Result<ExecOutput> Run(MonitorClient& client, const ExecRequest& request,
                       const std::string& exec_id, const Deadline& deadline, size_t limit,
                       milliseconds start) {
  std::shared_ptr<ExecWait> wait = TRY(client.ExpectExec(exec_id));
  std::array<Stream, 2> streams;
  Result<> started = StartExec(client, request, exec_id, streams, deadline, start);
  if (!started) {
    // Should it have started after all, it must not go on unseen.
    if (Code code = started.error().code();
        code == Code::kDeadlineExceeded || code == Code::kCancelled)
      client.Tell(monitor::Type::kExecKill, monitor::ExecKill{exec_id});
    return std::move(started.error());
  }
  if (!TRY(Collect(streams, *wait, deadline, request.cancelled, limit))) {
    Result<MonitorClient::Answer> killed =
        client.Call(monitor::Type::kExecKill, monitor::ExecKill{exec_id}, kKillLimit);
    // The time-out is the answer whatever became of the kill: the kubelet knows it by its code.
    const bool gone = request.cancelled.stop_requested();
    std::string message = StrCat("exec in container ", request.container_id, ": ",
                                 gone ? "its client has gone" : "took too long");
    if (!killed) message += StrCat("; kill: ", killed.error().message());
    return Error(gone ? Code::kCancelled : Code::kDeadlineExceeded, std::move(message));
  }
  const std::optional<monitor::Exit> exit = *wait->exit.Lock();
  if (!exit)
    return Error(Code::kUnavailable, StrCat("exec in container ", request.container_id,
                                            ": the connection to its monitor ended"));
  return ExecOutput{static_cast<int>(exit->code), std::move(streams[0].kept),
                    std::move(streams[1].kept)};
}

}  // namespace

Result<ExecOutput> RunExecSync(MonitorClient& client, const os::DirFd& pod,
                               const ExecRequest& request, std::chrono::nanoseconds timeout,
                               size_t limit, milliseconds start) {
  if (request.terminal)
    return Error(Code::kInvalidArgument, "exec: no terminal in a synchronous exec");
  Deadline deadline;
  if (timeout > std::chrono::nanoseconds::zero())
    deadline = steady_clock::now() +
               std::min(std::chrono::ceil<milliseconds>(timeout), milliseconds(kLongest));
  const std::string exec_id = TRY(NewId());
  const std::string process = StrCat(monitor::kCallsDir, "/", exec_id, ".json");
  TRY(FAIL_STEP("exec.process", pod.WriteFile(process, request.process_json, 0600)), "exec");
  Result<ExecOutput> output = Run(client, request, exec_id, deadline, limit, start);
  (void)FAIL_POINT("exec.ended");
  client.ForgetExec(exec_id);
  // The monitor has removed it, unless the request never came that far.
  (void)pod.RemoveFile(process);
  return output;
}

}  // namespace berth::runtime
