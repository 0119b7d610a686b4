// SPDX-License-Identifier: Apache-2.0
#include "os/socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/strings.h"
#include "os/dir_internal.h"

namespace berth::os {

namespace {

constexpr size_t kMaxFds = 253;  // SCM_MAX_FD of the kernel

int KernelType(SocketType type) {
  return (type == SocketType::kStream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC;
}

Result<Fd> NewSocket(SocketType type) {
  Fd socket(::socket(AF_UNIX, KernelType(type), 0));
  if (!socket) return ErrnoError("make socket");
  return socket;
}

Result<sockaddr_un> Address(std::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error(Code::kInvalidArgument, StrCat(Quote(path), ": socket name too long"));
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// One element: anything more would be resolved by the kernel through links.
Result<> CheckName(std::string_view name) {
  if (name.empty() || name == "." || name == ".." ||
      name.find_first_of(std::string_view("/\0", 2)) != std::string_view::npos)
    return Error(Code::kInvalidArgument, StrCat(Quote(name), ": not a plain socket name"));
  return Ok();
}

Result<> CheckReplaceable(const DirFd& dir, std::string_view name) {
  Result<struct stat> st = dir.Stat(name);
  if (!st) {
    if (st.error().code() == Code::kNotFound) return Ok();
    return std::move(st.error());
  }
  if (!S_ISSOCK(st->st_mode))
    return Error(Code::kAlreadyExists, StrCat(Quote(name), ": is there and not a socket"));
  return Ok();
}

}  // namespace

Result<SocketPair> MakeSocketPair(SocketType type) {
  int ends[2];
  if (::socketpair(AF_UNIX, KernelType(type), 0, ends) < 0) return ErrnoError("make socket pair");
  return SocketPair{Fd(ends[0]), Fd(ends[1])};
}

Result<Fd> ListenUnix(const DirFd& dir, std::string_view name, SocketType type, int backlog) {
  TRY(CheckName(name));
  TRY(CheckReplaceable(dir, name));
  Fd socket = TRY(NewSocket(type), Quote(name));
  // bind(2) gives the file the mode of the socket's inode, so it is never open to others, not for a
  // moment.
  if (::fchmod(socket.get(), 0600) < 0) return ErrnoError(StrCat(Quote(name), ": set mode"));
  // Bound and listening under another name first: whoever finds `name` can connect.
  const std::string temporary = StrCat(".berth-tmp-", TRY(internal::RandomName()));
  const sockaddr_un address = TRY(Address(StrCat(dir.ProcPath(), "/", temporary)));
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
    return ErrnoError(StrCat("bind ", Quote(name)));
  auto publish = [&]() -> Result<> {
    if (::listen(socket.get(), backlog) < 0) return ErrnoError(StrCat("listen on ", Quote(name)));
    return dir.Rename(temporary, name, true);
  };
  Result<> published = publish();
  if (!published) {
    (void)dir.RemoveFile(temporary);
    return std::move(published.error());
  }
  return socket;
}

Result<Fd> ConnectUnix(const DirFd& dir, std::string_view name, SocketType type,
                       std::chrono::milliseconds patience) {
  TRY(CheckName(name));
  // Connecting by name would follow a link; the inode held by O_PATH is what it is.
  Fd file = TRY(dir.Open(name, O_PATH | O_NOFOLLOW));
  struct stat st{};
  if (::fstat(file.get(), &st) < 0) return ErrnoError(Quote(name));
  if (!S_ISSOCK(st.st_mode))
    return Error(Code::kFailedPrecondition, StrCat(Quote(name), ": not a socket"));
  Fd socket = TRY(NewSocket(type), Quote(name));
  // A listener that never accepts must not hold us for ever once its backlog is full.
  timeval limit{.tv_sec = patience.count() / 1000, .tv_usec = patience.count() % 1000 * 1000};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const sockaddr_un address = TRY(Address(StrCat("/proc/self/fd/", file.get())));
  int rc;
  do rc = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  while (rc < 0 && errno == EINTR);
  if (rc < 0) {
    const int err = errno;
    Error error = ErrnoError(StrCat("connect to ", Quote(name)), err);
    if (err == ECONNREFUSED || err == EAGAIN) return std::move(error).WithCode(Code::kUnavailable);
    return error;
  }
  limit = {};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return socket;
}

Result<Fd> Accept(int listener) {
  int fd;
  do fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoError("accept");
  return Fd(fd);
}

Result<PeerCredentials> GetPeer(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
    return ErrnoError("get peer credentials");
  return PeerCredentials{peer.pid, peer.uid, peer.gid};
}

Result<> SendMessage(int socket, std::string_view bytes, std::span<const int> fds) {
  // An empty message would look like the end to the receiver, and a stream carries no fds without a
  // byte.
  if (bytes.empty()) return Error(Code::kInvalidArgument, "send message: no bytes");
  if (fds.size() > kMaxFds) return Error(Code::kInvalidArgument, "send message: too many fds");
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  std::vector<char> control;
  if (!fds.empty()) {
    control.resize(CMSG_SPACE(fds.size_bytes()));
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t n;
  do n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return ErrnoError("send message");
  // A stream may take a part when a signal comes; the fds went with the first byte.
  for (bytes.remove_prefix(static_cast<size_t>(n)); !bytes.empty();) {
    n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError("send rest of message");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return Ok();
}

namespace {

// Takes every fd out of the control messages first, so that whatever is wrong with them, they get
// closed.
Result<> TakeFds(msghdr& message, size_t max_fds, std::vector<Fd>& fds) {
  bool strange = false;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0)) {
      strange = true;
      continue;
    }
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  if (strange) return Error(Code::kInvalidArgument, "receive message: unexpected control message");
  if ((message.msg_flags & MSG_CTRUNC) != 0 || fds.size() > max_fds)
    return Error(Code::kResourceExhausted, StrCat("receive message: more than ", max_fds, " fds"));
  return Ok();
}

}  // namespace

Result<Message> ReceiveMessage(int socket, size_t limit, size_t max_fds) {
  if (limit == 0 || max_fds > kMaxFds)
    return Error(Code::kInvalidArgument, "receive message: impossible limit");
  Message result;
  result.bytes.resize(limit);
  iovec part{result.bytes.data(), limit};
  std::vector<char> control(max_fds == 0 ? 0 : CMSG_SPACE(max_fds * sizeof(int)));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n;
  do n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return ErrnoError("receive message");
  TRY(TakeFds(message, max_fds, result.fds));
  if ((message.msg_flags & MSG_TRUNC) != 0)
    return Error(Code::kResourceExhausted,
                 StrCat("receive message: longer than ", limit, " bytes"));
  result.bytes.resize(static_cast<size_t>(n));
  result.end = n == 0;
  if (result.end) result.fds.clear();
  return result;
}

}  // namespace berth::os
