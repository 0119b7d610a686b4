// SPDX-License-Identifier: Apache-2.0
// Run: one program to its end. Input is a memory file (no writer to block, no SIGPIPE); output
// comes by pipes.
#include "os/run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include "base/strings.h"
#include "os/process_internal.h"

namespace berth::os {

namespace {

using SteadyClock = std::chrono::steady_clock;

// One output pipe of the program. Bytes above `limit` are dropped and remembered as `over`.
struct Sink {
  Fd pipe;
  std::string bytes;
  size_t limit = 0;
  bool over = false;

  // Takes what is there, at most `most` bytes; closes the pipe at its end.
  Result<> Take(size_t most) {
    std::array<char, 16384> buffer;
    for (size_t taken = 0; pipe.valid() && taken < most;) {
      ssize_t n = ::read(pipe.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) break;
      if (n < 0) return ErrnoError("read output");
      if (n == 0) {
        pipe.Reset();
        break;
      }
      const auto count = static_cast<size_t>(n);
      const size_t kept = std::min(count, limit - bytes.size());
      bytes.append(buffer.data(), kept);
      over = over || kept < count;
      taken += count;
    }
    return Ok();
  }
};

// As much as a pipe can hold: what the program itself has left there, not what a grandchild goes on
// writing.
constexpr size_t kDrain = 1U << 20;
constexpr size_t kRound = 256U << 10;

int PollMillis(SteadyClock::time_point deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
  return static_cast<int>(std::clamp<decltype(left + 0)>(left, 0, INT_MAX));
}

// Makes poll return when somebody else asks for the end.
struct Wake {
  std::stop_token cancel;
  Pipe pipe;
};

// Until the program ends; true when it did, false when the time is over, stdout too long or nobody
// wants it any more.
Result<bool> Collect(const Process& process, Sink& out, Sink& err, SteadyClock::time_point deadline,
                     const Wake& wake) {
  for (;;) {
    std::array<pollfd, 4> polls{{{process.pidfd(), POLLIN, 0},
                                 {out.pipe.get(), POLLIN, 0},
                                 {err.pipe.get(), POLLIN, 0},
                                 {wake.pipe.read.get(), POLLIN, 0}}};
    const int ready = ::poll(polls.data(), polls.size(), PollMillis(deadline));
    if (ready < 0 && errno != EINTR) return ErrnoError("wait for output");
    const bool ended = ready > 0 && polls[0].revents != 0;
    TRY(out.Take(ended ? kDrain : kRound));
    TRY(err.Take(ended ? kDrain : kRound));
    if (out.over) return false;
    if (ended) return true;
    if (wake.cancel.stop_requested()) return false;
    if (SteadyClock::now() >= deadline) return false;
  }
}

Result<Process> Start(const RunOptions& options, Sink& out, Sink& err) {
  Pipe out_pipe = TRY(MakePipe());
  Pipe err_pipe = TRY(MakePipe());
  TRY(SetNonBlocking(out_pipe.read.get(), true));
  TRY(SetNonBlocking(err_pipe.read.get(), true));
  Fd input = TRY(MakeMemFile("stdin", options.input));
  SpawnOptions spawn = options.spawn;
  spawn.fds.push_back({input.get(), 0});
  spawn.fds.push_back({out_pipe.write.get(), 1});
  spawn.fds.push_back({err_pipe.write.get(), 2});
  Process process = TRY(internal::SpawnInGroup(spawn, true));
  out.pipe = std::move(out_pipe.read);
  out.limit = options.output_limit;
  err.pipe = std::move(err_pipe.read);
  err.limit = options.error_limit;
  return process;
}

}  // namespace

Result<RunOutput> Run(const RunOptions& options) { return Run(options, {}); }

Result<RunOutput> Run(const RunOptions& options, const std::stop_token& cancel) {
  const auto deadline = SteadyClock::now() + options.timeout;
  Sink out, err;
  Wake wake{cancel, {}};
  if (cancel.stop_possible()) wake.pipe = TRY(MakePipe());
  const std::stop_callback wakes(cancel, [&wake] { wake.pipe.write.Reset(); });
  Process process = TRY(Start(options, out, err), "run");
  Result<bool> ended = Collect(process, out, err, deadline, wake);
  // The program is not reaped yet, so the group's number cannot belong to anybody else.
  if (!ended || !*ended) ::kill(-process.pid(), SIGKILL);
  ExitStatus status = TRY(process.Wait(), options.spawn.path);
  if (!ended) return std::move(ended.error()).Wrap(StrCat("run ", options.spawn.path));
  if (out.over)
    return Error(Code::kResourceExhausted, StrCat("run ", options.spawn.path, ": more than ",
                                                  options.output_limit, " bytes of output"));
  if (!*ended && cancel.stop_requested())
    return Error(Code::kCancelled, StrCat("run ", options.spawn.path, ": cancelled"));
  if (!*ended) {
    const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(options.timeout);
    return Error(Code::kDeadlineExceeded,
                 StrCat("run ", options.spawn.path, ": no end within ", millis.count(), " ms"));
  }
  return RunOutput{status, std::move(out.bytes), std::move(err.bytes)};
}

}  // namespace berth::os
