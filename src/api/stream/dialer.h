// SPDX-License-Identifier: Apache-2.0
// Connections to a port inside a pod: sockets come from the pod's monitor, made in the pod's network namespace
// (protocol.h), and are connected here to 127.0.0.1 and, when that fails, to ::1. Owned by a ForwardSession; the loop's
// thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "api/stream/fd_pump.h"
#include "os/socket.h"

namespace berth::stream {

class Dialer {
 public:
  using Done = std::function<void(Result<os::Fd>)>;

  // `socket`: the dialer end of Begun. Unavailable for all that wait when the monitor closes it.
  static Result<std::unique_ptr<Dialer>> Make(os::EventLoop& loop, os::Fd socket);

  // Calls back once, later, with a connected non-blocking socket. The id is for Cancel.
  uint64_t Dial(uint16_t port, Done done);
  void Cancel(uint64_t id);

 private:
  struct Call {
    uint16_t port = 0;
    Done done;
    int family = 0;
    std::string failures;
    std::unique_ptr<Watch> connecting;
  };

  Dialer(os::EventLoop& loop, os::Fd socket) : loop_(loop), monitor_(loop, std::move(socket)) {}
  void Request(uint64_t id, int family);
  void OnReadable();
  void OnAnswer(os::Message message);
  void Connect(uint64_t id, os::Fd socket);
  void OnConnected(uint64_t id);
  void Failed(uint64_t id, int err);
  void Finish(uint64_t id, Result<os::Fd> result);
  void End(const Error& error);

  os::EventLoop& loop_;
  Watch monitor_;
  const std::shared_ptr<int> alive_ = std::make_shared<int>();  // for what was posted
  uint64_t last_id_ = 0;
  std::map<uint64_t, Call> calls_;
  std::deque<uint64_t> asked_;  // the monitor answers in this order
};

}  // namespace berth::stream
