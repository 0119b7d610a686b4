// SPDX-License-Identifier: Apache-2.0
#include "api/cri/acceptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/log.h"
#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::api {

namespace {
constexpr int kBacklog = 4096;  // what the kernel allows at most, unless told otherwise
constexpr int kRestMs = 100;

os::Fd Spare() { return os::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }
}  // namespace

Result<std::unique_ptr<Acceptor>> Acceptor::Start(const std::string& path, Take take) {
  const size_t slash = path.rfind('/');
  const os::DirFd dir = TRY(os::DirFd::OpenTrusted(slash == 0 ? "/" : path.substr(0, slash)),
                            StrCat("directory of socket ", path));
  os::Fd listener =
      TRY(os::ListenUnix(dir, path.substr(slash + 1), os::SocketType::kStream, kBacklog),
          StrCat("socket ", path));
  // A client that leaves while it waits must not hold up the thread.
  TRY(os::SetNonBlocking(listener.get(), true), StrCat("socket ", path));
  if (::chmod(path.c_str(), 0660) != 0) return ErrnoError(StrCat("socket mode of ", path));
  os::Pipe wake = TRY(os::MakePipe(), StrCat("socket ", path));
  std::unique_ptr<Acceptor> self(
      new Acceptor(std::move(listener), std::move(wake), std::move(take)));
  self->spare_ = Spare();
  try {
    self->thread_ = std::thread([acceptor = self.get()] { acceptor->Loop(); });
  } catch (const std::system_error& e) {
    return Error(Code::kResourceExhausted, StrCat("socket ", path, ": thread: ", e.what()));
  }
  return self;
}

Acceptor::~Acceptor() {
  wake_.write.Reset();
  if (thread_.joinable()) thread_.join();
}

void Acceptor::Loop() {
  for (;;) {
    std::array<pollfd, 2> fds = {pollfd{listener_.get(), POLLIN, 0},
                                 pollfd{wake_.read.get(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[1].revents != 0) return;
    AcceptOne();
  }
}

void Acceptor::AcceptOne() {
  os::Fd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (connection) return take_(std::move(connection));
  if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
  LogWarn(ErrnoError("accept on the CRI socket").message());
  TurnAway();
}

void Acceptor::TurnAway() {
  spare_.Reset();
  os::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)).Reset();
  spare_ = Spare();  // another thread may have been faster: then next time
  // It may go on so; no need to spin.
  pollfd wake{wake_.read.get(), POLLIN, 0};
  (void)::poll(&wake, 1, kRestMs);
}

}  // namespace berth::api
