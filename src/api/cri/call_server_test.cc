// SPDX-License-Identifier: Apache-2.0
// What a client may do to a call, below protobuf, over the engine's fakes.
#include "api/cri/call_server.h"

#include <dirent.h>
#include <grpcpp/generic/generic_stub.h>
#include <signal.h>

#include <future>

#include "api/cri/testing/server_fixture.h"

namespace berth::api {
namespace {

class CallServerTest : public ServerTest {
 protected:
  // Any bytes to any method.
  grpc::Status Raw(const std::string& method, const std::string& bytes) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    grpc::Slice slice(bytes);
    grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::GenericStub stub(channel_);
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, method, {}, &request, &response,
                   [&done](grpc::Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  }
};

TEST_F(CallServerTest, BytesThatAreNoRequestAreRefused) {
  const grpc::Status status = Raw("/runtime.v1.RuntimeService/Version", "\x0a\xff");
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "the request's bytes are no message of the call's type");
  const grpc::Status stream = Raw("/runtime.v1.RuntimeService/StreamContainers", "\x0a\xff");
  EXPECT_EQ(stream.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(stream.error_message(), "the request's bytes are no message of the call's type");
  const grpc::Status events = Raw("/runtime.v1.RuntimeService/GetContainerEvents", "\x0a\xff");
  EXPECT_EQ(events.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(events.error_message(), "the request's bytes are no message of the call's type");
}

TEST_F(CallServerTest, AnUnknownMethodIsUnimplementedAndNamed) {
  const grpc::Status status = Raw("/runtime.v2.RuntimeService/Version", "");
  EXPECT_EQ(status.error_code(), grpc::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(), "/runtime.v2.RuntimeService/Version: no such call");
}

TEST_F(CallServerTest, AMessageAboveTheLimitIsResourceExhausted) {
  const grpc::Status status =
      Raw("/runtime.v1.RuntimeService/Version", std::string((16 << 20) + 1, 'x'));
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_NE(status.error_message().find("larger than max"), std::string::npos)
      << status.error_message();
  v1::VersionResponse version;
  EXPECT_TRUE(Call(*runtime_, &Runtime::Version, v1::VersionRequest(), &version).ok());
}

TEST_F(CallServerTest, AClientThatEndsWithoutAMessageIsToldSo) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  grpc::GenericStub stub(channel_);
  grpc::CompletionQueue queue;
  auto call = stub.PrepareCall(&context, "/runtime.v1.RuntimeService/Version", &queue);
  grpc::Status status;
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(&tag);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  call->WritesDone(&tag);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  call->Finish(&status, &tag);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "a call without a message");
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
}

// The handler sees it, and the server goes on.
TEST_F(CallServerTest, AClientThatGoesAwayEndsWhatItHasAskedFor) {
  const std::string pod = RunPod("web");
  const std::string id = world_.Create(pod).value_or("");
  ASSERT_TRUE(world_.engine->StartContainer({}, id));
  world_.runtime.IgnoreSignal(id, SIGTERM);
  v1::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(3600);
  v1::StopContainerResponse response;
  grpc::ClientContext context;
  auto stopped = std::async(std::launch::async,
                            [&] { return runtime_->StopContainer(&context, request, &response); });
  ASSERT_TRUE(world_.Eventually([&] { return world_.runtime.CountCalls("Signal") == 1; }));
  context.TryCancel();
  EXPECT_EQ(stopped.get().error_code(), grpc::CANCELLED);
  const auto began = std::chrono::steady_clock::now();
  server_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2))
      << "the call is over, so nobody waits for it";
}

TEST_F(CallServerTest, ACallInFlightIsCancelledWhenTheServerEnds) {
  const std::string pod = RunPod("web");
  const std::string id = world_.Create(pod).value_or("");
  ASSERT_TRUE(world_.engine->StartContainer({}, id));
  world_.runtime.IgnoreSignal(id, SIGTERM);
  v1::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(3600);
  v1::StopContainerResponse response;
  auto stopped = std::async(std::launch::async, [&] {
    return Call(*runtime_, &Runtime::StopContainer, request, &response);
  });
  ASSERT_TRUE(world_.Eventually([&] { return world_.runtime.CountCalls("Signal") == 1; }));
  server_.reset();
  EXPECT_FALSE(stopped.get().ok());
}

// Voluntary switches of the server's own thread.
uint64_t Wakeups() {
  uint64_t switches = 0;
  bool found = false;
  DIR* tasks = ::opendir("/proc/self/task");
  while (const dirent* entry = ::readdir(tasks)) {
    auto dir = os::DirFd::OpenTrusted(StrCat("/proc/self/task/", entry->d_name));
    if (!dir || entry->d_name[0] == '.') continue;
    if (dir->ReadFile("comm", 64).value_or("") != StrCat(CallServer::kThreadName, "\n")) continue;
    const std::string status = dir->ReadFile("status", 8192).value_or("");
    const size_t at = status.find("\nvoluntary_ctxt_switches:");
    if (at == std::string::npos) continue;
    found = true;
    switches += std::strtoull(status.c_str() + at + 25, nullptr, 10);
  }
  ::closedir(tasks);
  EXPECT_TRUE(found);
  return switches;
}

TEST_F(CallServerTest, AServerThatNobodyAsksSleeps) {
  v1::VersionResponse version;
  ASSERT_TRUE(Call(*runtime_, &Runtime::Version, v1::VersionRequest(), &version).ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const uint64_t before = Wakeups();
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  EXPECT_EQ(Wakeups(), before);
}

}  // namespace
}  // namespace berth::api
