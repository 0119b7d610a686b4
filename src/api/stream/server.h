// SPDX-License-Identifier: Apache-2.0
// The listener and its connections. Owned by the program's main object; the loop's thread. When berthd has gone the
// listener closes, and `on_idle` is called with the last connection's end.
#pragma once

#include <map>
#include <memory>

#include "api/stream/connection.h"

namespace berth::stream {

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;
  size_t max_connections =
      1000;                 // those without a taken request: half of them, the oldest makes room
  size_t max_dials = 4000;  // connections into pods, of all port-forwards together
  bool documents = false;   // connection.h
  Timeouts timeouts;
};

// Binds and listens. InvalidArgument: not an IP address. The port that was bound: BoundPort.
Result<os::Fd> Listen(const std::string& address, uint16_t port);
Result<uint16_t> BoundPort(int listener);

class Server {
 public:
  using MakeTransport = std::function<Result<std::unique_ptr<Transport>>(os::Fd)>;

  Server(os::EventLoop& loop, DaemonLink& daemon, const ServerOptions& options,
         MakeTransport make_transport, std::function<void()> on_idle)
      : loop_(loop),
        daemon_(daemon),
        options_(options),
        make_transport_(std::move(make_transport)),
        on_idle_(std::move(on_idle)),
        dials_(options.max_dials),
        retry_timer_(loop) {}
  ~Server();

  Result<> Start(os::Fd listener);
  // No new connections; those that have no session yet are closed too.
  void StopListening();
  size_t connections() const { return connections_.size(); }

 private:
  void OnReadable();
  void Admit(os::Fd socket);
  bool MakeRoom();
  void Drop(uint64_t id);

  os::EventLoop& loop_;
  DaemonLink& daemon_;
  const ServerOptions options_;
  const MakeTransport make_transport_;
  const std::function<void()> on_idle_;
  DialBudget dials_;
  os::Fd listener_;
  Timer retry_timer_;
  bool stopped_ = false;
  uint64_t last_id_ = 0;
  std::map<uint64_t, std::shared_ptr<Connection>> connections_;
};

}  // namespace berth::stream
