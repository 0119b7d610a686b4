// SPDX-License-Identifier: Apache-2.0
// GetContainerEvents with real gRPC clients over the engine's fakes.
#include "api/cri/event_hub.h"

#include <functional>

#include "api/cri/acceptor.h"
#include "api/cri/call_server.h"
#include "api/cri/testing/server_fixture.h"
#include "base/log.h"
#include "base/strings.h"

namespace berth::api {
namespace {

using Event = v1::ContainerEventResponse;

// Listens from its construction on; events are read one by one.
class Listener {
 public:
  explicit Listener(v1::RuntimeService::Stub& stub) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    reader_ = stub.GetContainerEvents(&context_, v1::GetEventsRequest());
    reader_->WaitForInitialMetadata();
  }
  ~Listener() {
    context_.TryCancel();
    Event rest;
    while (reader_->Read(&rest)) {
    }
    if (!finished_) (void)reader_->Finish();
  }
  Event Next() {
    Event event;
    EXPECT_TRUE(reader_->Read(&event)) << "the stream has ended";
    return event;
  }
  // Reads what is there; the status at the end.
  grpc::Status Drain(size_t* count) {
    Event event;
    while (reader_->Read(&event)) ++*count;
    finished_ = true;
    return reader_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<Event>> reader_;
  bool finished_ = false;
};

class EventsTest : public ServerTest {
 protected:
  std::string RunContainer(const std::string& pod, const std::string& name) {
    std::string id = world_.Create(pod, name).value_or("");
    EXPECT_TRUE(world_.engine->StartContainer({}, id));
    return id;
  }
};

void ExpectEvent(const Event& event, v1::ContainerEventType type, const std::string& id) {
  EXPECT_EQ(event.container_event_type(), type);
  EXPECT_EQ(event.container_id(), id);
}

TEST_F(EventsTest, Rule36EventsTellThePodsWholeLifeWithFullStatusesInOrder) {
  Listener listener(*runtime_);
  std::string pod;
  int64_t last = 0;
  // Of the pod, or of the container whose status must be there.
  auto next = [&](v1::ContainerEventType type, const std::string& container) {
    Event event = listener.Next();
    ExpectEvent(event, type, container.empty() ? pod : container);
    EXPECT_GT(event.created_at(), last);
    last = event.created_at();
    // The kubelet drops an event without these.
    EXPECT_EQ(event.pod_sandbox_status().id(), pod);
    EXPECT_EQ(event.pod_sandbox_status().metadata().uid(), "uid-web");
    EXPECT_EQ(event.pod_sandbox_status().labels().at("app"), "web");
    bool there = !container.empty() && type != v1::CONTAINER_DELETED_EVENT;
    EXPECT_EQ(event.containers_statuses_size(), there ? 1 : 0);
    if (there) {
      EXPECT_EQ(event.containers_statuses(0).id(), container);
    }
    return event;
  };
  pod = RunPod("web");
  next(v1::CONTAINER_CREATED_EVENT, "");
  next(v1::CONTAINER_STARTED_EVENT, "");
  std::string container = world_.Create(pod).value_or("");
  next(v1::CONTAINER_CREATED_EVENT, container);
  ASSERT_TRUE(world_.engine->StartContainer({}, container));
  next(v1::CONTAINER_STARTED_EVENT, container);
  ASSERT_TRUE(world_.engine->StopContainer({}, container, std::chrono::seconds(0)));
  Event stopped = next(v1::CONTAINER_STOPPED_EVENT, container);
  EXPECT_EQ(stopped.containers_statuses(0).state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(stopped.containers_statuses(0).exit_code(), 137);
  ASSERT_TRUE(world_.engine->RemoveContainer({}, container));
  next(v1::CONTAINER_DELETED_EVENT, container);
  ASSERT_TRUE(world_.engine->StopPodSandbox({}, pod));
  EXPECT_EQ(next(v1::CONTAINER_STOPPED_EVENT, "").pod_sandbox_status().state(),
            v1::SANDBOX_NOTREADY);
  ASSERT_TRUE(world_.engine->RemovePodSandbox({}, pod));
  next(v1::CONTAINER_DELETED_EVENT, "");
}

TEST_F(EventsTest, Rule36TimesDoNotGoBackWhenTheClockDoes) {
  Listener listener(*runtime_);
  RunPod("a");
  int64_t before = listener.Next().created_at();
  (void)listener.Next();
  world_.clock.Advance(-std::chrono::hours(1));
  std::string pod = RunPod("b");
  Event event = listener.Next();
  EXPECT_GT(event.created_at(), before);
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  v1::PodSandboxStatusResponse status;
  ASSERT_TRUE(Call(*runtime_, &Runtime::PodSandboxStatus, request, &status).ok());
  EXPECT_GE(status.timestamp(), event.created_at());
}

TEST_F(EventsTest, EveryListenerHasEveryEvent) {
  Listener first(*runtime_);
  Listener second(*runtime_);
  std::string pod = RunPod("web");
  for (Listener* one : {&first, &second}) {
    ExpectEvent(one->Next(), v1::CONTAINER_CREATED_EVENT, pod);
    ExpectEvent(one->Next(), v1::CONTAINER_STARTED_EVENT, pod);
  }
}

TEST_F(EventsTest, AListenerHearsNothingFromBeforeItCame) {
  Listener early(*runtime_);
  RunPod("before");
  // Events are told on a thread of their own: these two are over when somebody has heard them.
  (void)early.Next();
  (void)early.Next();
  Listener late(*runtime_);
  std::string pod = RunPod("after");
  ExpectEvent(late.Next(), v1::CONTAINER_CREATED_EVENT, pod);
}

TEST_F(EventsTest, AListenerThatDoesNotReadLosesTheStreamAndNobodyElseNoticesIt) {
  Listener lazy(*runtime_);
  Listener quick(*runtime_);
  v1::RunPodSandboxRequest large;
  auto* metadata = large.mutable_config()->mutable_metadata();
  metadata->set_name("large");
  metadata->set_namespace_("ns");
  metadata->set_uid("u");
  (*large.mutable_config()->mutable_annotations())["a"] = std::string(200 << 10, 'x');
  constexpr uint32_t kPods = 60;
  for (uint32_t i = 0; i < kPods; ++i) {
    metadata->set_attempt(i);
    v1::RunPodSandboxResponse response;
    ASSERT_TRUE(Call(*runtime_, &Runtime::RunPodSandbox, large, &response).ok());
    ExpectEvent(quick.Next(), v1::CONTAINER_CREATED_EVENT, response.pod_sandbox_id());
    ExpectEvent(quick.Next(), v1::CONTAINER_STARTED_EVENT, response.pod_sandbox_id());
  }
  size_t read = 0;
  ExpectStatus(lazy.Drain(&read), grpc::StatusCode::RESOURCE_EXHAUSTED, "too slowly");
  EXPECT_LT(read, 2 * kPods);
}

TEST_F(EventsTest, AServerThatEndsEndsTheStreamsAtOnce) {
  Listener listener(*runtime_);
  auto began = std::chrono::steady_clock::now();
  server_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2));
  size_t read = 0;
  ExpectStatus(listener.Drain(&read), grpc::StatusCode::UNAVAILABLE, "ending");
}

TEST_F(EventsTest, MoreListenersThanTheLimitAreRefused) {
  std::vector<std::unique_ptr<Listener>> listeners;
  for (size_t i = 0; i < EventHub::kMaxStreams; ++i) {
    listeners.push_back(std::make_unique<Listener>(*runtime_));
  }
  size_t read = 0;
  ExpectStatus(Listener(*runtime_).Drain(&read), grpc::StatusCode::RESOURCE_EXHAUSTED,
               "64 clients");
  listeners.clear();
  // Those that went make room.
  EXPECT_TRUE(world_.Eventually([&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
    auto reader = runtime_->GetContainerEvents(&context, v1::GetEventsRequest());
    Event event;
    EXPECT_FALSE(reader->Read(&event));
    return reader->Finish().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  }));
}

// Tells an event in the middle of a subscription: between its place in the list and its first byte.
class EventInBetween final : public LogSink {
 public:
  explicit EventInBetween(std::shared_ptr<EventHub> hub) : hub_(std::move(hub)) {
    SetLogSink(this);
  }
  ~EventInBetween() override { SetLogSink(nullptr); }
  void Write(LogLevel, std::string_view line) override {
    if (line != "a client listens for events") return;
    pod::LifecycleEvent event;
    event.container_id = StrCat("c", ++told_);
    hub_->Publish(event);
    if (then_) then_();
  }
  void Then(std::function<void()> then) { then_ = std::move(then); }

 private:
  const std::shared_ptr<EventHub> hub_;
  std::function<void()> then_;
  int told_ = 0;
};

TEST_F(EventsTest, AnEventOrAnEndInTheMiddleOfASubscriptionIsToldAfterItsBegin) {
  auto hub = std::make_shared<EventHub>();
  const CallStarter subscribe = [&hub](ServerCall& call) { hub->Subscribe(call); };
  Result<std::unique_ptr<CallServer>> calls =
      CallServer::Start([&](const std::string&) { return &subscribe; }, 1 << 20);
  ASSERT_TRUE(calls) << calls.error().message();
  const std::string path = path_ + "-events";
  Result<std::unique_ptr<Acceptor>> acceptor =
      Acceptor::Start(path, [&](os::Fd socket) { (*calls)->Add(std::move(socket)); });
  ASSERT_TRUE(acceptor) << acceptor.error().message();
  auto stub = v1::RuntimeService::NewStub(
      grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials()));
  {
    EventInBetween sink(hub);
    for (const char* id : {"c1", "c2"}) {
      Listener listener(*stub);
      EXPECT_EQ(listener.Next().container_id(), id);
    }
    sink.Then([&] { hub->Close(); });
    size_t read = 0;
    ExpectStatus(Listener(*stub).Drain(&read), grpc::StatusCode::UNAVAILABLE, "ending");
  }
  acceptor->reset();
  calls->reset();
  EXPECT_EQ(hub->streams(), 0U);
}

TEST_F(EventsTest, AStatusHasThePodsContainersAndTheTimeOfTheLook) {
  std::string pod = RunPod("web");
  std::string container = RunContainer(pod, "app");
  RunContainer(RunPod("other"), "app");
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  v1::PodSandboxStatusResponse status;
  ASSERT_TRUE(Call(*runtime_, &Runtime::PodSandboxStatus, request, &status).ok());
  ASSERT_EQ(status.containers_statuses_size(), 1);
  EXPECT_EQ(status.containers_statuses(0).id(), container);
  EXPECT_EQ(status.containers_statuses(0).state(), v1::CONTAINER_RUNNING);
  EXPECT_GT(status.timestamp(), 0);
}

}  // namespace
}  // namespace berth::api
