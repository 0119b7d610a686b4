// SPDX-License-Identifier: Apache-2.0
// Takes connections to the CRI socket, on a thread of its own, and gives them away: gRPC's own listener (1.51) stops for
// good when accept(2) fails once, as it does when there is no descriptor left. Then a client is let in on a descriptor
// kept for that and turned away at once, so that it learns it and the queue does not stand still.
// Owned by the server; the destructor joins the thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/result.h"
#include "os/fd.h"
#include "os/socket.h"

namespace berth::api {

class Acceptor {
 public:
  // `take` is called on the thread, with a connection that does not block.
  using Take = std::function<void(os::Fd connection)>;

  // Listens at `path`, absolute, replacing a socket that is there; mode 0660.
  static Result<std::unique_ptr<Acceptor>> Start(const std::string& path, Take take);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

 private:
  Acceptor(os::Fd listener, os::Pipe wake, Take take)
      : listener_(std::move(listener)), wake_(std::move(wake)), take_(std::move(take)) {}
  void Loop();
  void AcceptOne();
  void TurnAway();

  os::Fd listener_;
  os::Pipe wake_;
  os::Fd spare_;
  Take take_;
  std::thread thread_;
};

}  // namespace berth::api
