// SPDX-License-Identifier: Apache-2.0
// berth-stream without its sandbox: the loop, the link to berthd, the server. Owned by main or a test; one thread.
#pragma once

#include <memory>

#include "api/stream/server.h"
#include "api/stream/tls.h"

namespace berth::stream {

struct ProgramOptions {
  ServerOptions server;
  bool tls = false;
  size_t max_info_connections = 64;
};

class Program {
 public:
  // `daemon`: the socket to berthd. `listener`: bound. `info`: a listening Unix socket for documents, or none.
  static Result<std::unique_ptr<Program>> Make(const ProgramOptions& options, os::Fd daemon,
                                               os::Fd listener, os::Fd info = {});
  ~Program();

  // Says Ready (with TLS after the first kTls) and serves until berthd's end has closed and the last session is over.
  Result<> Run();
  os::EventLoop& loop() { return *loop_; }
  size_t connections() const { return server_->connections(); }

 private:
  Program() = default;
  void MakeInfoServer();
  void StopListening();
  Result<> Start();
  void OnTls(std::vector<os::Fd> files);
  Result<std::unique_ptr<Transport>> Wrap(os::Fd socket);

  ProgramOptions options_;
  std::optional<Error> failed_;
  // Destroyed in the reverse order: connections before the link, all before the loop.
  std::unique_ptr<os::EventLoop> loop_;
  os::Fd listener_, info_;           // until the servers have them
  std::shared_ptr<TlsContext> tls_;  // for connections to come
  std::unique_ptr<DaemonLink> link_;
  std::unique_ptr<Server> server_, info_server_;
};

}  // namespace berth::stream
