// SPDX-License-Identifier: Apache-2.0
// The CRI socket with a real gRPC client, over the engine's fakes: codes and messages as a kubelet sees them.
#include <grpcpp/generic/generic_stub.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <future>

#include "api/cri/testing/server_fixture.h"

namespace berth::api {
namespace {

TEST_F(ServerTest, VersionHasAllFourFields) {
  v1::VersionResponse version;
  ASSERT_TRUE(Call(*runtime_, &Runtime::Version, v1::VersionRequest(), &version).ok());
  EXPECT_EQ(version.version(), "0.1.0");
  EXPECT_EQ(version.runtime_name(), "berth");
  EXPECT_EQ(version.runtime_version(), BERTH_VERSION);
  EXPECT_EQ(version.runtime_api_version(), "v1");
}

// gRPC's own listener would never accept again.
TEST_F(ServerTest, WithoutDescriptorsClientsAreTurnedAwayUntilThereAreSome) {
  std::vector<os::Fd> clients;
  for (int i = 0; i < 4; ++i)
    clients.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  for (const os::Fd& client : clients)
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  pollfd last{clients.back().get(), POLLIN, 0};
  const int told = ::poll(&last, 1, 300);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(told, 0) << "the spare descriptor is above the limit too: they wait";
  auto fresh = v1::RuntimeService::NewStub(
      grpc::CreateChannel("unix:" + path_, grpc::InsecureChannelCredentials()));
  v1::VersionResponse version;
  EXPECT_TRUE(Call(*fresh, &Runtime::Version, v1::VersionRequest(), &version).ok());
}

TEST_F(ServerTest, Rule33StatusHasBothConditionsAndTheDefaultHandlerTwice) {
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

TEST_F(ServerTest, Rule33ANetworkThatIsNotReadyIsSaidSo) {
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

TEST_F(ServerTest, UpdatesOfResourcesReachTheEngine) {
  std::string pod = RunPod("web");
  v1::UpdatePodSandboxResourcesRequest request;
  v1::UpdatePodSandboxResourcesResponse response;
  request.set_pod_sandbox_id(pod);
  request.mutable_resources()->set_cpu_shares(2048);
  ASSERT_TRUE(Call(*runtime_, &Runtime::UpdatePodSandboxResources, request, &response).ok());
  EXPECT_NE(world_.engine->PodSandboxInfo(pod)->at("info").find("2048"), std::string::npos);
  request.set_pod_sandbox_id("nosuch");
  ExpectStatus(Call(*runtime_, &Runtime::UpdatePodSandboxResources, request, &response),
               grpc::NOT_FOUND, "nosuch");
  v1::UpdateContainerResourcesRequest container;
  v1::UpdateContainerResourcesResponse done;
  container.set_container_id(*world_.Create(pod));
  container.mutable_linux()->set_cpu_shares(333);
  ASSERT_TRUE(Call(*runtime_, &Runtime::UpdateContainerResources, container, &done).ok());
  EXPECT_EQ(world_.Status(container.container_id()).resources->cpu_shares, 333);
  container.mutable_linux()->set_cpu_period(1);
  ExpectStatus(Call(*runtime_, &Runtime::UpdateContainerResources, container, &done),
               grpc::INVALID_ARGUMENT, "cpu period 1 us");
}

TEST_F(ServerTest, ThePodCidrIsAcceptedWithoutATemplate) {
  v1::UpdateRuntimeConfigRequest request;
  v1::UpdateRuntimeConfigResponse response;
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("10.0.0.0/24");
  EXPECT_TRUE(Call(*runtime_, &Runtime::UpdateRuntimeConfig, request, &response).ok());
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

TEST_F(ServerTest, Rule2UnknownIdsAreSuccessForStopAndRemoveAndNotFoundForStatus) {
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

TEST_F(ServerTest, Rule5AnImageThatIsNotThereIsAnAnswerWithoutAnImage) {
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

TEST_F(ServerTest, Rule35RuntimeConfigStaysTheSame) {
  for (int i = 0; i < 3; ++i) {
    v1::RuntimeConfigResponse config;
    ASSERT_TRUE(Call(*runtime_, &Runtime::RuntimeConfig, v1::RuntimeConfigRequest(), &config).ok());
    EXPECT_EQ(config.linux().cgroup_driver(), v1::CGROUPFS);
    v1::UpdateRuntimeConfigRequest update;
    update.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("10.1.0.0/16");
    v1::UpdateRuntimeConfigResponse updated;
    EXPECT_TRUE(Call(*runtime_, &Runtime::UpdateRuntimeConfig, update, &updated).ok());
  }
}

TEST_F(ServerTest, Rule41CheckpointIsUnimplementedWhateverItsTimeout) {
  for (int64_t timeout : {0, 1, 3600}) {
    v1::CheckpointContainerRequest request;
    request.set_container_id(pod::TestId("ab"));
    request.set_timeout(timeout);
    v1::CheckpointContainerResponse response;
    EXPECT_EQ(Call(*runtime_, &Runtime::CheckpointContainer, request, &response).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
}

TEST_F(ServerTest, PullOfAnUnknownImageIsNotFound) {
  v1::PullImageRequest request;
  request.mutable_image()->set_image("docker.io/library/nosuch:1");
  v1::PullImageResponse response;
  ExpectStatus(Call(*images_, &Images::PullImage, request, &response), grpc::StatusCode::NOT_FOUND,
               "nosuch");
}

// The kubelet looks at how the message begins.
TEST_F(ServerTest, Rule13ARegistryThatIsDownIsTheFirstWordOfTheMessage) {
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

TEST_F(ServerTest, V1Alpha2IsTheSameApiUnderItsOldName) {
  auto call = [&](const std::string& method, const google::protobuf::Message& request,
                  google::protobuf::Message* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    grpc::TemplatedGenericStub<google::protobuf::Message, google::protobuf::Message> stub(channel_);
    grpc::Status status;
    std::promise<void> done;
    stub.UnaryCall(&context, "/runtime.v1alpha2." + method, {}, &request, response,
                   [&](grpc::Status s) {
                     status = std::move(s);
                     done.set_value();
                   });
    done.get_future().wait();
    return status;
  };
  v1::VersionResponse version;
  ASSERT_TRUE(call("RuntimeService/Version", v1::VersionRequest(), &version).ok());
  EXPECT_EQ(version.runtime_api_version(), "v1alpha2");
  std::string pod = RunPod("web");
  v1::ListPodSandboxResponse pods;
  ASSERT_TRUE(call("RuntimeService/ListPodSandbox", v1::ListPodSandboxRequest(), &pods).ok());
  ASSERT_EQ(pods.items_size(), 1);
  EXPECT_EQ(pods.items(0).id(), pod);
  v1::ListImagesResponse images;
  ASSERT_TRUE(call("ImageService/ListImages", v1::ListImagesRequest(), &images).ok());
  EXPECT_EQ(images.images_size(), 1);
  v1::ContainerStatusRequest unknown;
  unknown.set_container_id(pod::TestId("ab"));
  v1::ContainerStatusResponse status;
  ExpectStatus(call("RuntimeService/ContainerStatus", unknown, &status),
               grpc::StatusCode::NOT_FOUND, "not found");
  v1::RuntimeConfigResponse config;
  EXPECT_EQ(call("RuntimeService/RuntimeConfig", v1::RuntimeConfigRequest(), &config).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
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
