// SPDX-License-Identifier: Apache-2.0
// The gRPC server: one queue, one thread that sleeps until there is something to do, and always one call that waits for
// a client. Owned by Server; Add from any thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <thread>

#include "api/cri/server_call.h"
#include "base/guarded.h"
#include "base/result.h"
#include "os/fd.h"

namespace berth::api {

class CallServer {
 public:
  // From a method's full name ("/package.Service/Method") to who answers it; null: UNIMPLEMENTED. On the thread, which
  // a starter must not hold up.
  using Find = std::function<const CallStarter*(const std::string& method)>;

  static constexpr const char* kThreadName = "cri calls";
  static Result<std::unique_ptr<CallServer>> Start(Find find, int max_message);
  CallServer(const CallServer&) = delete;
  CallServer& operator=(const CallServer&) = delete;
  // Gives calls in flight a few seconds, cancels the rest and waits until they are finished.
  ~CallServer();
  // Serves a connection, which does not block.
  void Add(os::Fd connection);

 private:
  explicit CallServer(Find find) : find_(std::move(find)) {}
  void Loop();

  const Find find_;
  Guarded<int> calls_{0};
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  ServerCall::Home home_{};
  std::thread thread_;
};

}  // namespace berth::api
