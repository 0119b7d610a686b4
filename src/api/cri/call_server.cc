// SPDX-License-Identifier: Apache-2.0
#include "api/cri/call_server.h"

#include <grpcpp/server_posix.h>
#include <pthread.h>

#include <system_error>

#include "base/strings.h"

namespace berth::api {

Result<std::unique_ptr<CallServer>> CallServer::Start(Find find, int max_message) {
  std::unique_ptr<CallServer> self(new CallServer(std::move(find)));
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(max_message);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1000);
  // It asks each client how far away it is, again and again: a ping and a timer after what a client has sent. Ours are
  // on this machine, and what they send fits into HTTP/2's own window.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.RegisterAsyncGenericService(&self->service_);
  self->queue_ = builder.AddCompletionQueue();
  self->server_ = builder.BuildAndStart();
  if (!self->server_) return Error(Code::kInternal, "start the gRPC server");
  self->home_ = {&self->service_, self->queue_.get(), &self->find_, [raw = self.get()](int change) {
                   *raw->calls_.Lock() += change;
                   raw->calls_.NotifyAll();
                 }};
  try {
    self->thread_ = std::thread([raw = self.get()] { raw->Loop(); });
    (void)::pthread_setname_np(self->thread_.native_handle(), kThreadName);
  } catch (const std::system_error& e) {
    return Error(Code::kResourceExhausted, StrCat("start the gRPC server: thread: ", e.what()));
  }
  ServerCall::Want(self->home_);
  return self;
}

void CallServer::Add(os::Fd connection) {
  grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
}

void CallServer::Loop() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) static_cast<ServerCall::Tag*>(tag)->Run(ok);
}

CallServer::~CallServer() {
  if (thread_.joinable()) {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(3));
    auto calls = calls_.Lock();
    // Nobody may begin an operation on a queue that is shut down.
    calls_.Wait(calls, [](int count) { return count == 0; });
  } else if (server_) {
    server_->Shutdown(std::chrono::system_clock::now());
  }
  if (queue_) queue_->Shutdown();
  if (thread_.joinable()) {
    thread_.join();
    return;
  }
  void* tag = nullptr;
  bool ok = false;
  while (queue_ && queue_->Next(&tag, &ok)) {
  }
}

}  // namespace berth::api
