// SPDX-License-Identifier: Apache-2.0
#include "api/cri/event_hub.h"

#include <deque>
#include <utility>
#include <vector>

#include "api/cri/convert.h"
#include "base/log.h"
#include "base/strings.h"

namespace berth::api {

namespace {

grpc::ByteBuffer Encode(const pod::LifecycleEvent& event) {
  v1::ContainerEventResponse message;
  message.set_container_id(event.container_id);
  message.set_container_event_type(static_cast<v1::ContainerEventType>(event.type));
  message.set_created_at(event.created_at);
  if (event.sandbox) ToProto(*event.sandbox, message.mutable_pod_sandbox_status());
  for (const auto& container : event.containers) {
    ToProto(container, message.add_containers_statuses());
  }
  grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

class EventStream final : public Reactor {
 public:
  EventStream(ServerCall& call, std::weak_ptr<EventHub> hub)
      : Reactor(call), hub_(std::move(hub)) {}

  void Begin(std::shared_ptr<EventStream> self) {
    self_ = std::move(self);
    call().StartSendInitialMetadata();  // tells the client that it misses nothing from now on
    OnWriteDone(true);  // what came meanwhile; gRPC keeps the order, and allows no write before it
  }

  void Push(const grpc::ByteBuffer& event) {
    bool fits = false;
    {
      auto state = state_.Lock();
      if (state->ended) return;
      fits = state->queued + event.Length() <= EventHub::kMaxQueued;
      if (fits) {
        if (std::exchange(state->writing, true)) {
          state->queued += event.Length();
          state->queue.push_back(event);
          return;
        }
        current_ = event;
      }
    }
    if (fits) return call().StartWrite(current_);
    End({grpc::StatusCode::RESOURCE_EXHAUSTED,
         "events are read too slowly: list what there is, then ask for events again"});
  }

  void End(const grpc::Status& status) {
    {
      auto state = state_.Lock();
      if (state->ended) return;
      state->ended = true;
      state->status = status;
      state->queue.clear();
      if (state->writing) return;
    }
    call().Finish(status);
  }

  void OnWriteDone(bool ok) override {
    grpc::Status status;
    {
      auto state = state_.Lock();
      state->writing = false;
      if (!ok && !state->ended) {
        state->ended = true;
        state->status = {grpc::StatusCode::CANCELLED, "the client has gone"};
      }
      if (!state->ended) {
        if (state->queue.empty()) return;
        state->writing = true;
        current_ = std::move(state->queue.front());
        state->queue.pop_front();
        state->queued -= current_.Length();
      }
      if (state->ended) status = state->status;
    }
    if (status.ok()) return call().StartWrite(current_);
    call().Finish(status);
  }

  void OnCancel() override { End({grpc::StatusCode::CANCELLED, "the client has gone"}); }

  void OnDone() override {
    if (auto hub = hub_.lock()) hub->Forget(self_);
    self_.reset();  // this, unless the hub is publishing at the moment
  }

 private:
  struct State {
    std::deque<grpc::ByteBuffer> queue;
    size_t queued = 0;    // bytes in queue
    bool writing = true;  // until Begin: the stream is in the hub's list before that
    bool ended = false;
    grpc::Status status;  // never OK
  };
  const std::weak_ptr<EventHub> hub_;
  std::shared_ptr<EventStream> self_;  // the call's reference: from Begin to OnDone
  Guarded<State> state_;
  grpc::ByteBuffer current_;  // being written; touched by whoever has set `writing`
};

EventHub::EventHub() = default;
EventHub::~EventHub() = default;

void EventHub::Publish(const pod::LifecycleEvent& event) {
  std::vector<StreamPtr> streams;
  {
    auto state = state_.Lock();
    streams.assign(state->streams.begin(), state->streams.end());
  }
  if (streams.empty()) return;
  grpc::ByteBuffer encoded = Encode(event);
  for (const StreamPtr& stream : streams) stream->Push(encoded);
}

void EventHub::Subscribe(ServerCall& call, const grpc::Status& refused) {
  auto stream = std::make_shared<EventStream>(call, weak_from_this());
  bool closed = false;
  bool full = false;
  {
    auto state = state_.Lock();
    closed = state->closed;
    full = state->streams.size() >= kMaxStreams;
    if (!closed && !full && refused.ok()) state->streams.insert(stream);
  }
  if (!closed && !full && refused.ok()) LogDebug("a client listens for events");
  EventStream* raw = stream.get();
  raw->Begin(std::move(stream));
  if (!refused.ok()) {
    raw->End(refused);
  } else if (closed) {
    raw->End({grpc::StatusCode::UNAVAILABLE, "berthd is ending"});
  } else if (full) {
    raw->End({grpc::StatusCode::RESOURCE_EXHAUSTED,
              StrCat(kMaxStreams, " clients listen for events already")});
  }
}

void EventHub::Close() {
  std::set<StreamPtr> streams;
  {
    auto state = state_.Lock();
    state->closed = true;
    streams = state->streams;
  }
  for (const StreamPtr& stream : streams) {
    stream->End({grpc::StatusCode::UNAVAILABLE, "berthd is ending"});
  }
}

size_t EventHub::streams() { return state_.Lock()->streams.size(); }

void EventHub::Forget(const StreamPtr& stream) {
  if (state_.Lock()->streams.erase(stream) > 0) LogDebug("a client listens for events no more");
}

}  // namespace berth::api
