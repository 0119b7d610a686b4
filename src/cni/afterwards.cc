// SPDX-License-Identifier: Apache-2.0
#include "cni/afterwards.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::cni {

namespace {

// Longer than the kernel needs by itself for what it has put aside.
constexpr std::chrono::nanoseconds kLinger = std::chrono::milliseconds(100);

[[noreturn]] void RunChild(const std::function<Result<>()>& work, int outcome, int alive) {
  // Its own session: whoever ends the plugin's group need not wait for it. No reader waits for it either.
  ::setsid();
  for (int fd = 0; fd < 3; ++fd) ::close(fd);
  const Result<> done = work();
  (void)os::WriteAll(outcome, done ? "ok" : done.error().message());
  char byte = 0;
  while (::read(alive, &byte, 1) < 0 && errno == EINTR) {
  }
  // Closed earlier the sockets would be waited for, under the lock that the next change of rules needs.
  const timespec pause{0, kLinger.count()};
  ::nanosleep(&pause, nullptr);
  ::_exit(0);
}

}  // namespace

Result<Afterwards> Afterwards::Start(const std::function<Result<>()>& work) {
  os::Pipe outcome = TRY(os::MakePipe());
  os::Pipe alive = TRY(os::MakePipe());
  const pid_t child = ::fork();
  if (child < 0) return ErrnoError("fork");
  if (child == 0) {
    alive.write.Reset();
    RunChild(work, outcome.write.get(), alive.read.get());
  }
  // The child's end of this pipe stays open here too: its death is seen by waitpid.
  return Afterwards(child, std::move(outcome.read), std::move(alive.write));
}

Result<bool> Afterwards::Finished() {
  pollfd ready{outcome_.get(), POLLIN, 0};
  if (::poll(&ready, 1, 0) <= 0) {
    int status = 0;
    if (::waitpid(child_, &status, WNOHANG) == child_)
      return Error(Code::kInternal, "the child has died");
    return false;
  }
  char text[512];
  const ssize_t n = ::read(outcome_.get(), text, sizeof(text));
  const std::string_view said(text, n > 0 ? static_cast<size_t>(n) : 0);
  if (said == "ok") return true;
  return Error(Code::kInternal, said.empty() ? "the child has died" : std::string(said));
}

}  // namespace berth::cni
