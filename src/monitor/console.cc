// SPDX-License-Identifier: Apache-2.0
#include "monitor/console.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"
#include "os/socket.h"

namespace berth::monitor {

Result<> Console::Listen(const os::DirFd* calls, std::string name) {
  listener_ = TRY(os::ListenUnix(*calls, name, os::SocketType::kStream, 1), "console socket");
  calls_ = calls;
  name_ = std::move(name);
  return os::SetNonBlocking(listener_.get(), true);
}

std::string Console::Path() const {
  return StrCat("/proc/", ::getpid(), "/fd/", calls_->get(), "/", name_);
}

Result<os::Fd> Console::TakeMaster() {
  Result<os::Fd> peer = os::Accept(listener_.get());
  if (!peer)
    return Error(Code::kFailedPrecondition, "console socket: the runtime sent no terminal");
  TRY(os::SetNonBlocking(peer->get(), true));
  // The text is the terminal's name in the container and of no interest.
  os::Message message = TRY(os::ReceiveMessage(peer->get(), 4096, 1), "console socket");
  if (message.fds.size() != 1 || ::isatty(message.fds[0].get()) != 1)
    return Error(Code::kFailedPrecondition, "console socket: what the runtime sent is no terminal");
  return std::move(message.fds[0]);
}

void Console::Close() {
  if (!listener_) return;
  listener_.Reset();
  (void)calls_->RemoveFile(name_);
}

}  // namespace berth::monitor
