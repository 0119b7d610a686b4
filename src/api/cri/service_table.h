// SPDX-License-Identifier: Apache-2.0
// A gRPC service written down as a table of methods, each under one or more full names: how one
// handler serves both runtime.v1 and runtime.v1alpha2, whose messages are the same on the wire.
// Filled before the server starts; the server borrows it and it outlives the server. gRPC's threads.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/service_type.h>

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/strings.h"

namespace berth::api {

// It does what code generated from a .proto does in its service's constructor, with these names.
class ServiceTable : public grpc::Service {
 public:
  explicit ServiceTable(std::string_view service) : service_(service) {}

  template <class Request, class Response>
  void AddUnary(std::string_view package, std::string_view method,
                std::function<grpc::ServerUnaryReactor*(grpc::CallbackServerContext*,
                                                        const Request*, Response*)>
                    start) {
    Add(package, method, grpc::internal::RpcMethod::NORMAL_RPC,
        new grpc::internal::CallbackUnaryHandler<Request, Response>(std::move(start)));
  }

  template <class Request, class Response>
  void AddServerStreaming(std::string_view package, std::string_view method,
                          std::function<grpc::ServerWriteReactor<Response>*(
                              grpc::CallbackServerContext*, const Request*)>
                              start) {
    Add(package, method, grpc::internal::RpcMethod::SERVER_STREAMING,
        new grpc::internal::CallbackServerStreamingHandler<Request, Response>(std::move(start)));
  }

 private:
  void Add(std::string_view package, std::string_view method,
           grpc::internal::RpcMethod::RpcType type, grpc::internal::MethodHandler* handler) {
    // gRPC keeps the pointer to the name; a deque does not move its elements.
    const std::string& path = paths_.emplace_back(StrCat("/", package, ".", service_, "/", method));
    auto* entry = new grpc::internal::RpcServiceMethod(path.c_str(), type, handler);
    entry->SetServerApiType(grpc::internal::RpcServiceMethod::ApiType::CALL_BACK);
    AddMethod(entry);
  }

  const std::string service_;
  std::deque<std::string> paths_;
};

}  // namespace berth::api
