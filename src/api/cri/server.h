// SPDX-License-Identifier: Apache-2.0
// The CRI socket: gRPC on one side, blocking handlers on bounded executors (one for each kind of call) on
// the other. Owned by the daemon; Start and Stop from its main thread. RPCs without a handler
// answer UNIMPLEMENTED.
#pragma once

#include <memory>
#include <string>

#include "api/cri/services.h"
#include "base/result.h"

namespace berth::api {

struct ServerOptions {
  std::string socket_path;  // absolute; made with mode 0660
};

class Server {
 public:
  // Listens and serves. An old socket file at the path is replaced; anything else there is an
  // error.
  static Result<std::unique_ptr<Server>> Start(Services services, const ServerOptions& options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Stops accepting, gives calls in flight a few seconds, then cancels them; removes the socket
  // file.
  ~Server();

 private:
  Server() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::api
