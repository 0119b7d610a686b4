// SPDX-License-Identifier: Apache-2.0
// A CRI server over the engine's fakes, and a gRPC client of it. Owned by each test.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "api/cri/server.h"
#include "cri.grpc.pb.h"
#include "os/dir_fd.h"
#include "pod/testing/engine_world.h"

namespace berth::api {

namespace v1 = ::runtime::v1;

class FakeSessions final : public sessions::Sessions {
 public:
  Result<std::string> Url(sessions::Session session) override {
    TRY(Ready());
    last = std::move(session);
    return std::string("http://127.0.0.1:1/x/token");
  }
  Result<> Ready() override {
    return why_not.empty() ? Ok() : Result<>(Error(Code::kUnavailable, why_not));
  }
  sessions::Session last;
  std::string why_not;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() : temp_(*os::TempDir::Make()), path_(temp_.path() + "/cri.sock") {
    Services services{*world_.engine, world_.images, world_.runtime, world_.network,
                      sessions_,      world_.clock,  false,          R"({"stateDir":"/s"})"};
    Result<std::unique_ptr<Server>> started =
        Server::Start(std::move(services), {.socket_path = path_});
    EXPECT_TRUE(started) << started.error().message();
    server_ = std::move(*started);
    grpc::ChannelArguments arguments;
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    channel_ =
        grpc::CreateCustomChannel("unix:" + path_, grpc::InsecureChannelCredentials(), arguments);
    runtime_ = v1::RuntimeService::NewStub(channel_);
    images_ = v1::ImageService::NewStub(channel_);
  }

  template <class Stub, class Request, class Response>
  grpc::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    return (stub.*method)(&context, request, response);
  }
  std::string RunPod(const std::string& name) {
    v1::RunPodSandboxRequest request;
    auto* metadata = request.mutable_config()->mutable_metadata();
    metadata->set_name(name);
    metadata->set_namespace_("default");
    metadata->set_uid("uid-" + name);
    (*request.mutable_config()->mutable_labels())["app"] = name;
    v1::RunPodSandboxResponse response;
    grpc::Status status = Call(*runtime_, &Runtime::RunPodSandbox, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.pod_sandbox_id();
  }

  using Runtime = v1::RuntimeService::Stub;
  using Images = v1::ImageService::Stub;
  pod::World world_;
  FakeSessions sessions_;
  os::TempDir temp_;
  std::string path_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Images> images_;
};

inline void ExpectStatus(const grpc::Status& status, grpc::StatusCode code,
                         const std::string& fragment) {
  EXPECT_EQ(status.error_code(), code) << status.error_message();
  EXPECT_NE(status.error_message().find(fragment), std::string::npos) << status.error_message();
}

}  // namespace berth::api
