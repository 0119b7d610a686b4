// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/opaque_keeper.h"

#include <sys/socket.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace berth::image::unpack {

namespace {

constexpr char kAttribute[] = "trusted.overlay.opaque";

union Control {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int))];
};

// One message with exactly one fd; -1 otherwise, 0 at the end.
int ReceiveFd(int socket, int& fd) {
  char byte = 0;
  struct iovec iov{&byte, 1};
  Control control{};
  struct msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) return static_cast<int>(n);
  const struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int)) || (message.msg_flags & MSG_CTRUNC) != 0)
    return -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return 1;
}

}  // namespace

void ServeOpaque(int socket) {
  for (;;) {
    int fd = -1;
    if (ReceiveFd(socket, fd) <= 0) return;
    const int answer = ::fsetxattr(fd, kAttribute, "y", 1, 0) == 0 ? 0 : errno;
    ::close(fd);
    ssize_t n = 0;
    do {
      n = ::send(socket, &answer, sizeof answer, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n != sizeof answer) return;
  }
}

Result<> KeeperMarker::Mark(int dir) {
  char byte = 0;
  struct iovec iov{&byte, 1};
  Control control{};
  struct msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &dir, sizeof dir);
  if (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) != 1) return ErrnoError("mark opaque");
  int answer = 0;
  ssize_t n = 0;
  do {
    n = ::recv(socket_.get(), &answer, sizeof answer, 0);
  } while (n < 0 && errno == EINTR);
  if (n != sizeof answer) return Error(Code::kInternal, "mark opaque: the keeper is gone");
  if (answer != 0) return ErrnoError("mark opaque", answer);
  return Ok();
}

}  // namespace berth::image::unpack
