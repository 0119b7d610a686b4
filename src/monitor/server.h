// SPDX-License-Identifier: Apache-2.0
// The monitor's side of the socket: accepts, checks who connects, frames packets. Owned by main;
// monitor thread. Nothing here waits for the daemon: a connection whose buffer is full is dropped,
// and the daemon connects again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "monitor/loop.h"
#include "monitor/protocol.h"
#include "os/fd.h"

namespace berth::monitor {

class Server {
 public:
  struct Request {
    uint64_t connection;
    Header header;
    std::string body;
    std::vector<os::Fd> fds;
  };
  struct Events {
    // An error means that the packet made no sense: the connection is dropped.
    std::function<Result<>(Request)> request;
    std::function<void(uint64_t connection)> closed;
  };

  Result<> Open(Loop* loop, os::Fd listener, Events events);
  // The newest connection that said Hello gets the events; the one before it is closed.
  void SetCurrent(uint64_t connection);
  uint64_t current() const { return current_; }
  // Not connected any more: nothing happens.
  void Send(uint64_t connection, const std::string& packet, const std::vector<os::Fd>& fds = {});

 private:
  static constexpr size_t kMaxConnections = 4;
  struct Connection {
    uint64_t number = 0;
    Watch watch;
  };
  void Accept();
  void Receive(uint64_t number);
  Result<> ReceiveOne(Connection& connection, bool& end);
  Connection* Find(uint64_t number);
  void Drop(uint64_t number);
  void Sweep();

  Loop* loop_ = nullptr;
  Events events_;
  Watch listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
  uint64_t next_ = 1;
  uint64_t current_ = 0;
};

}  // namespace berth::monitor
