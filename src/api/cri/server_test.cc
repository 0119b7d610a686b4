// SPDX-License-Identifier: Apache-2.0
// The CRI socket with a real gRPC client, over the engine's fakes: codes and messages as a kubelet sees them.
#include "api/cri/server.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "cri.grpc.pb.h"
#include "os/dir_fd.h"
#include "pod/testing/engine_world.h"

namespace berth::api {
namespace {

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
    auto channel =
        grpc::CreateCustomChannel("unix:" + path_, grpc::InsecureChannelCredentials(), arguments);
    runtime_ = v1::RuntimeService::NewStub(channel);
    images_ = v1::ImageService::NewStub(channel);
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
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Images> images_;
};

void ExpectStatus(const grpc::Status& status, grpc::StatusCode code, const std::string& fragment) {
  EXPECT_EQ(status.error_code(), code) << status.error_message();
  EXPECT_NE(status.error_message().find(fragment), std::string::npos) << status.error_message();
}

TEST_F(ServerTest, VersionHasAllFourFields) {
  v1::VersionResponse version;
  ASSERT_TRUE(Call(*runtime_, &Runtime::Version, v1::VersionRequest(), &version).ok());
  EXPECT_EQ(version.version(), "0.1.0");
  EXPECT_EQ(version.runtime_name(), "berth");
  EXPECT_EQ(version.runtime_version(), BERTH_VERSION);
  EXPECT_EQ(version.runtime_api_version(), "v1");
}

TEST_F(ServerTest, StatusHasBothConditionsAndTheDefaultHandlerTwice) {
  v1::StatusRequest request;
  request.set_verbose(true);
  v1::StatusResponse status;
  ASSERT_TRUE(Call(*runtime_, &Runtime::Status, request, &status).ok());
  ASSERT_GE(status.status().conditions_size(), 2);
  EXPECT_EQ(status.status().conditions(0).type(), "RuntimeReady");
  EXPECT_EQ(status.status().conditions(1).type(), "NetworkReady");
  EXPECT_EQ(status.info().at("config"), R"({"stateDir":"/s"})");
  std::set<std::string> names;
  for (const auto& handler : status.runtime_handlers())
    EXPECT_TRUE(names.insert(handler.name()).second);
  EXPECT_TRUE(names.contains(""));
}

TEST_F(ServerTest, ANetworkThatIsNotReadyIsSaidSo) {
  world_.network.SetHook([](std::string_view call, std::string_view) -> Result<> {
    if (call != "Ready") return Ok();
    return Error(Code::kFailedPrecondition, "no configuration");
  });
  v1::StatusResponse status;
  ASSERT_TRUE(Call(*runtime_, &Runtime::Status, v1::StatusRequest(), &status).ok());
  const auto& network = status.status().conditions(1);
  EXPECT_FALSE(network.status());
  EXPECT_EQ(network.reason(), "NetworkPluginNotReady");
  EXPECT_TRUE(network.message().starts_with("Network plugin returns error: ")) << network.message();
}

TEST_F(ServerTest, APodLivesFromRunToRemove) {
  std::string id = RunPod("web");
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  v1::PodSandboxStatusResponse status;
  ASSERT_TRUE(Call(*runtime_, &Runtime::PodSandboxStatus, request, &status).ok());
  EXPECT_EQ(status.status().state(), v1::SANDBOX_READY);
  EXPECT_EQ(status.status().metadata().name(), "web");
  EXPECT_EQ(status.status().labels().at("app"), "web");
  EXPECT_GT(status.status().created_at(), 0);

  v1::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(id);
  v1::StopPodSandboxResponse stopped;
  ASSERT_TRUE(Call(*runtime_, &Runtime::StopPodSandbox, stop, &stopped).ok());
  v1::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(id);
  v1::RemovePodSandboxResponse removed;
  ASSERT_TRUE(Call(*runtime_, &Runtime::RemovePodSandbox, remove, &removed).ok());
  ExpectStatus(Call(*runtime_, &Runtime::PodSandboxStatus, request, &status),
               grpc::StatusCode::NOT_FOUND, id);
  world_.ExpectNothingLeft();
}

TEST_F(ServerTest, FiltersAreAnded) {
  std::string a = RunPod("a");
  RunPod("b");
  v1::ListPodSandboxRequest request;
  (*request.mutable_filter()->mutable_label_selector())["app"] = "a";
  v1::ListPodSandboxResponse list;
  ASSERT_TRUE(Call(*runtime_, &Runtime::ListPodSandbox, request, &list).ok());
  ASSERT_EQ(list.items_size(), 1);
  EXPECT_EQ(list.items(0).id(), a);
  request.mutable_filter()->mutable_state()->set_state(v1::SANDBOX_NOTREADY);
  v1::ListPodSandboxResponse none;
  ASSERT_TRUE(Call(*runtime_, &Runtime::ListPodSandbox, request, &none).ok());
  EXPECT_EQ(none.items_size(), 0);
}

TEST_F(ServerTest, UnknownIdsAreSuccessForStopAndRemoveAndNotFoundForStatus) {
  const std::string id = pod::TestId("ab");
  v1::StopContainerRequest stop;
  stop.set_container_id(id);
  v1::StopContainerResponse stopped;
  EXPECT_TRUE(Call(*runtime_, &Runtime::StopContainer, stop, &stopped).ok());
  v1::RemoveContainerRequest remove;
  remove.set_container_id(id);
  v1::RemoveContainerResponse removed;
  EXPECT_TRUE(Call(*runtime_, &Runtime::RemoveContainer, remove, &removed).ok());
  v1::ContainerStatusRequest status;
  status.set_container_id(id);
  v1::ContainerStatusResponse seen;
  ExpectStatus(Call(*runtime_, &Runtime::ContainerStatus, status, &seen),
               grpc::StatusCode::NOT_FOUND, id);
  v1::ExecSyncRequest exec;
  exec.set_container_id(id);
  exec.add_cmd("true");
  v1::ExecSyncResponse ran;
  ExpectStatus(Call(*runtime_, &Runtime::ExecSync, exec, &ran), grpc::StatusCode::NOT_FOUND, id);
  v1::StopPodSandboxResponse pod_stopped;
  ExpectStatus(Call(*runtime_, &Runtime::StopPodSandbox, v1::StopPodSandboxRequest(), &pod_stopped),
               grpc::StatusCode::INVALID_ARGUMENT, "id");
}

TEST_F(ServerTest, WhatHasNoMeaningIsRefusedBeforeAnythingIsMade) {
  v1::RunPodSandboxResponse response;
  ExpectStatus(Call(*runtime_, &Runtime::RunPodSandbox, v1::RunPodSandboxRequest(), &response),
               grpc::StatusCode::INVALID_ARGUMENT, "metadata");
  v1::RunPodSandboxRequest request;
  auto* metadata = request.mutable_config()->mutable_metadata();
  metadata->set_name("n");
  metadata->set_namespace_("ns");
  metadata->set_uid("u");
  request.mutable_config()->add_port_mappings()->set_host_port(70000);
  ExpectStatus(Call(*runtime_, &Runtime::RunPodSandbox, request, &response),
               grpc::StatusCode::INVALID_ARGUMENT, "port 70000");
  v1::ExecSyncRequest exec;
  exec.set_timeout(-1);
  v1::ExecSyncResponse ran;
  ExpectStatus(Call(*runtime_, &Runtime::ExecSync, exec, &ran), grpc::StatusCode::INVALID_ARGUMENT,
               "negative");
  world_.ExpectNothingLeft();
}

TEST_F(ServerTest, CallsOfLaterIssuesAnswerUnimplemented) {
  v1::ContainerStatsResponse stats;
  EXPECT_EQ(
      Call(*runtime_, &Runtime::ContainerStats, v1::ContainerStatsRequest(), &stats).error_code(),
      grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(ServerTest, ExecAttachAndPortForwardGiveAnAddress) {
  const std::string pod = RunPod("web");
  std::string id = world_.Create(pod).value_or("");
  ASSERT_TRUE(world_.engine->StartContainer({}, id));
  v1::ExecRequest exec;
  exec.set_container_id(id);
  exec.add_cmd("sh");
  exec.set_tty(true);
  exec.set_stdin(true);
  exec.set_stdout(true);
  v1::ExecResponse exec_url;
  grpc::Status status = Call(*runtime_, &Runtime::Exec, exec, &exec_url);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(exec_url.url(), "http://127.0.0.1:1/x/token");
  const auto& asked = std::get<pod::ExecOptions>(sessions_.last);
  EXPECT_EQ(asked.container_id, id);
  EXPECT_EQ(asked.command, std::vector<std::string>{"sh"});
  EXPECT_TRUE(asked.tty && asked.std_in && asked.std_out && !asked.std_err);
  v1::AttachRequest attach;
  attach.set_container_id(id);
  attach.set_stderr(true);
  v1::AttachResponse attach_url;
  ASSERT_TRUE(Call(*runtime_, &Runtime::Attach, attach, &attach_url).ok());
  EXPECT_TRUE(std::get<pod::AttachOptions>(sessions_.last).std_err);
  v1::PortForwardRequest forward;
  forward.set_pod_sandbox_id(pod);
  forward.add_port(80);
  v1::PortForwardResponse forward_url;
  ASSERT_TRUE(Call(*runtime_, &Runtime::PortForward, forward, &forward_url).ok());
  EXPECT_EQ(std::get<pod::PortForwardOptions>(sessions_.last).ports, std::vector<int32_t>{80});
  exec.set_stderr(true);
  ExpectStatus(Call(*runtime_, &Runtime::Exec, exec, &exec_url), grpc::StatusCode::INVALID_ARGUMENT,
               "tty and stderr");
  ExpectStatus(Call(*runtime_, &Runtime::Attach, v1::AttachRequest(), &attach_url),
               grpc::StatusCode::INVALID_ARGUMENT, "none of stdin");
  ExpectStatus(Call(*runtime_, &Runtime::PortForward, v1::PortForwardRequest(), &forward_url),
               grpc::StatusCode::INVALID_ARGUMENT, "id");
}

TEST_F(ServerTest, AStreamingServerThatIsDownIsInTheStatusAndInTheAnswer) {
  sessions_.why_not = "berth-stream: ended: exit code 1";
  v1::StatusResponse status;
  ASSERT_TRUE(Call(*runtime_, &Runtime::Status, v1::StatusRequest(), &status).ok());
  EXPECT_TRUE(status.status().conditions(0).status());
  EXPECT_EQ(status.status().conditions(2).type(), "StreamingReady");
  EXPECT_FALSE(status.status().conditions(2).status());
  EXPECT_EQ(status.status().conditions(2).message(), sessions_.why_not);
  v1::PortForwardRequest forward;
  forward.set_pod_sandbox_id(RunPod("web"));
  v1::PortForwardResponse url;
  ExpectStatus(Call(*runtime_, &Runtime::PortForward, forward, &url), grpc::StatusCode::UNAVAILABLE,
               sessions_.why_not);
}

TEST_F(ServerTest, AnImageThatIsNotThereIsAnAnswerWithoutAnImage) {
  v1::ImageStatusRequest request;
  request.mutable_image()->set_image("docker.io/library/nosuch:1");
  v1::ImageStatusResponse response;
  ASSERT_TRUE(Call(*images_, &Images::ImageStatus, request, &response).ok());
  EXPECT_FALSE(response.has_image());
  request.mutable_image()->set_image(pod::kImageId);
  ASSERT_TRUE(Call(*images_, &Images::ImageStatus, request, &response).ok());
  EXPECT_EQ(response.image().id(), pod::kImageId);
  EXPECT_GT(response.image().size(), 0U);
}

TEST_F(ServerTest, PullOfAnUnknownImageIsNotFound) {
  v1::PullImageRequest request;
  request.mutable_image()->set_image("docker.io/library/nosuch:1");
  v1::PullImageResponse response;
  ExpectStatus(Call(*images_, &Images::PullImage, request, &response), grpc::StatusCode::NOT_FOUND,
               "nosuch");
}

// The kubelet looks at how the message begins.
TEST_F(ServerTest, ARegistryThatIsDownIsTheFirstWordOfTheMessage) {
  world_.images.SetHook([](std::string_view call, std::string_view) -> Result<> {
    if (call != "Pull") return Ok();
    return Error(Code::kUnavailable, "pull x: RegistryUnavailable: connect: refused");
  });
  v1::PullImageRequest request;
  request.mutable_image()->set_image("x");
  v1::PullImageResponse response;
  grpc::Status status = Call(*images_, &Images::PullImage, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "RegistryUnavailable: pull x: connect: refused");
}

TEST_F(ServerTest, TheSocketIsForRootAndItsGroup) {
  struct stat st{};
  ASSERT_EQ(::stat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0660U);
  server_.reset();
  EXPECT_NE(::stat(path_.c_str(), &st), 0);
}

TEST_F(ServerTest, ASocketThatIsServedIsNotTakenOver) {
  Services services{*world_.engine, world_.images, world_.runtime, world_.network,
                    sessions_,      world_.clock,  false,          "{}"};
  auto second = Server::Start(std::move(services), {.socket_path = path_});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(second.error().message().find("another process serves it"), std::string::npos);
  v1::VersionResponse version;
  EXPECT_TRUE(Call(*runtime_, &Runtime::Version, v1::VersionRequest(), &version).ok());
}

TEST(ServerStartTest, AFileInThePlaceOfTheSocketIsNotRemoved) {
  pod::World world;
  auto temp = os::TempDir::Make();
  ASSERT_TRUE(temp);
  ASSERT_TRUE(temp->dir().WriteFile("cri.sock", "precious", 0600));
  FakeSessions sessions;
  Services services{*world.engine, world.images, world.runtime, world.network,
                    sessions,      world.clock,  false,         "{}"};
  auto started = Server::Start(std::move(services), {.socket_path = temp->path() + "/cri.sock"});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(started.error().message().find("something else is there"), std::string::npos);
  EXPECT_EQ(*temp->dir().ReadFile("cri.sock", 100), "precious");
}

}  // namespace
}  // namespace berth::api
