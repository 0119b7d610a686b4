// SPDX-License-Identifier: Apache-2.0
// A CRI client over the unix socket: what `berth` needs of RuntimeService and ImageService, errors
// as Result. Owned by main; one thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "cri.grpc.pb.h"

namespace berth::cli {

namespace v1 = ::runtime::v1;

class Client {
 public:
  // `endpoint`: unix:///path. Nothing is sent before the first call.
  explicit Client(const std::string& endpoint);

  v1::RuntimeService::Stub& runtime() { return *runtime_; }
  v1::ImageService::Stub& images() { return *images_; }

  // Client::Do(&Stub::Method, stub, request): the response, or the status as an Error.
  template <class Stub, class Request, class Response>
  Result<Response> Do(Stub& stub,
                      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                      const Request& request) {
    grpc::ClientContext context;
    Response response;
    grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return Error(static_cast<Code>(status.error_code()), status.error_message());
    return response;
  }

 private:
  std::unique_ptr<v1::RuntimeService::Stub> runtime_;
  std::unique_ptr<v1::ImageService::Stub> images_;
};

}  // namespace berth::cli
