// SPDX-License-Identifier: Apache-2.0
// Carries one unary RPC from gRPC's thread to an executor and its outcome back. The only place
// where an Error becomes a grpc::Status, a cancelled or late client becomes a pod::Call, and a
// stray exception is caught.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <stop_token>

#include "api/cri/server_call.h"
#include "base/executor.h"
#include "pod/engine.h"

namespace berth::api {

grpc::Status ToStatus(const Error& error);
// The kubelet tells a registry that is down, a signature that is missing and a volume that cannot be
// from other failures by how the message begins (k8s.io/cri-api pkg/errors): that word goes before
// the context that we put around it.
Error KubeletWordFirst(Error error);
// The client's deadline on our monotonic clock; zero: none.
std::chrono::nanoseconds DeadlineOf(const grpc::ServerContext& context, const Clock& clock);
void LogOutcome(const char* rpc, const Result<>& outcome, std::chrono::nanoseconds took);

// It deletes itself when the RPC is done and the handler has returned, whichever is later.
class UnaryCall final : public Reactor {
 public:
  // From the encoded request to the encoded response.
  using Handler =
      std::function<Result<grpc::ByteBuffer>(const pod::Call&, const grpc::ByteBuffer& request)>;

  static void Start(ServerCall& call, Executor& executor, const char* rpc, const Clock& clock,
                    Handler handler);

  void OnCancel() override { stop_.request_stop(); }
  void OnDone() override { Unref(); }

 private:
  UnaryCall(ServerCall& call, const char* rpc, const Clock& clock, Handler handler);
  void Run();
  void Unref() {
    if (references_.fetch_sub(1) == 1) delete this;
  }

  const char* rpc_;
  std::stop_source stop_;
  pod::Call call_;
  Handler handler_;
  std::atomic<int> references_{2};  // the RPC's and the handler's
};

}  // namespace berth::api
