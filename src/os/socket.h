// SPDX-License-Identifier: Apache-2.0
// Unix sockets with file descriptors on board (unix(7), SCM_RIGHTS). Used for monitor, fetcher,
// unpacker and streamer. Fds own themselves; any thread. Control messages are checked for level,
// type and truncation.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/dir_fd.h"
#include "os/fd.h"

namespace berth::os {

enum class SocketType { kStream, kSeqPacket };

struct SocketPair {
  Fd a;
  Fd b;
};
Result<SocketPair> MakeSocketPair(SocketType type);

// Binds and listens on dir/name with mode 0600 (through /proc/self/fd, so any path length works);
// an old socket file of that name is replaced.
Result<Fd> ListenUnix(const DirFd& dir, std::string_view name, SocketType type, int backlog = 16);
// Unavailable when nobody listens, or (EAGAIN) when the listener has not accepted what it has for `patience`, which is at
// least a millisecond; NotFound when there is no such socket.
Result<Fd> ConnectUnix(const DirFd& dir, std::string_view name, SocketType type,
                       std::chrono::milliseconds patience = std::chrono::seconds(5));
// accept4(2); the result is close-on-exec.
Result<Fd> Accept(int listener);

struct PeerCredentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};
// SO_PEERCRED: who connected or made the pair.
Result<PeerCredentials> GetPeer(int socket);

struct Message {
  std::string bytes;
  std::vector<Fd> fds;
  bool end = false;  // the peer closed; bytes and fds are empty
};
// One sendmsg(2): all bytes and all fds, or an error (EAGAIN stays sys_errno of the error). No
// SIGPIPE.
Result<> SendMessage(int socket, std::string_view bytes, std::span<const int> fds = {});
// One recvmsg(2). A message longer than `limit`, or with more than `max_fds` fds, is an error and
// its fds are closed.
Result<Message> ReceiveMessage(int socket, size_t limit, size_t max_fds);

}  // namespace berth::os
