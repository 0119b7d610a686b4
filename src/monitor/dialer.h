// SPDX-License-Identifier: Apache-2.0
// One port-forward session's way into the pod: makes TCP sockets in its network namespace for whoever holds the other
// end, who connects them himself. Owned by the Monitor until it is closed; monitor thread.
//
//   Open --> open, one answer a request --> closed   when the other side has gone, sends what is no request, or does
//                                                    not read its answers
#pragma once

#include "base/result.h"
#include "monitor/loop.h"
#include "os/fd.h"

namespace berth::monitor {

class Dialer {
 public:
  // InvalidArgument when `netns` is no network namespace.
  Result<> Open(Loop* loop, os::Fd socket, os::Fd netns);
  bool open() const { return socket_.open(); }

 private:
  void Serve();
  Result<> ServeOne();

  Watch socket_;
  os::Fd netns_;
};

// Enters the namespace, makes an unconnected TCP socket and comes back; the errno is in the error. The caller is the
// only thread of its process.
Result<os::Fd> SocketIn(int netns, int family);

}  // namespace berth::monitor
