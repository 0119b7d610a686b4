// SPDX-License-Identifier: Apache-2.0
#include "monitor/dialer.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <span>

#include "base/log.h"
#include "base/strings.h"
#include "base/wire.h"
#include "os/socket.h"

namespace berth::monitor {

Result<os::Fd> SocketIn(int netns, int family) {
  if (family != AF_INET && family != AF_INET6) return ErrnoError("address family", EAFNOSUPPORT);
  os::Fd own(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!own) return ErrnoError("own network namespace");
  if (::setns(netns, CLONE_NEWNET) < 0) return ErrnoError("enter network namespace");
  os::Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  const int made_errno = errno;
  // It was ours a moment ago. Should it fail all the same: nothing but these sockets is bound to the namespace.
  if (::setns(own.get(), CLONE_NEWNET) < 0) LogError("dialer: cannot leave the network namespace");
  if (!socket) return ErrnoError("make socket", made_errno);
  return socket;
}

Result<> Dialer::Open(Loop* loop, os::Fd socket, os::Fd netns) {
  if (::ioctl(netns.get(), NS_GET_NSTYPE) != CLONE_NEWNET)
    return Error(Code::kInvalidArgument, "dialer: not a network namespace");
  TRY(os::SetNonBlocking(socket.get(), true), "dialer");
  netns_ = std::move(netns);
  return socket_.Open(loop, std::move(socket), EPOLLIN, [this](uint32_t) { Serve(); });
}

void Dialer::Serve() {
  Result<> served = ServeOne();
  if (served) return;
  if (served.error().code() != Code::kUnavailable) LogWarn(served.error().message());
  socket_.Close();
  netns_.Reset();
}

// Unavailable: the other side has gone.
Result<> Dialer::ServeOne() {
  char bytes[sizeof(uint32_t) + 1];
  // Descriptors that come along find no room and are closed by the kernel.
  const ssize_t n = ::recv(socket_.fd(), bytes, sizeof bytes, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Ok();
  if (n <= 0) return Error(Code::kUnavailable, "dialer: closed");
  wire::Reader reader({bytes, static_cast<size_t>(n)});
  const uint32_t family = TRY(reader.U32(), "dialer");
  TRY(reader.End(), "dialer");
  Result<os::Fd> made = SocketIn(netns_.get(), static_cast<int>(family));
  wire::Writer answer;
  answer.U32(made ? 0U : static_cast<uint32_t>(made.error().sys_errno()));
  const int fd = made ? made->get() : -1;
  TRY(os::SendMessage(socket_.fd(), answer.bytes(), std::span<const int>(&fd, made ? 1 : 0)),
      "dialer");
  return Ok();
}

}  // namespace berth::monitor
