// SPDX-License-Identifier: Apache-2.0
// GetContainerEvents: each change of a pod or container goes to every client that listens, encoded
// once. Shared by the server and the engine's listener. Publish from one thread at a time, the rest
// from any.
//
// A stream is in the list from before its Begin, and until then as if it was writing.
//                          OnWriteDone
//   idle --Push--> writing ------------> idle, or the next write when something is queued
//     |               |  what comes meanwhile is queued, up to kMaxQueued bytes
//     +------End------+-> ended: Finish at once, or when the write that is going on is done
// Nothing is ever left out of a stream: who reads too slowly loses the stream (ResourceExhausted), so that
// he lists again, as a kubelet does after any end of it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <set>

#include "api/cri/server_call.h"
#include "base/guarded.h"
#include "pod/engine.h"

namespace berth::api {

class EventStream;

class EventHub : public std::enable_shared_from_this<EventHub> {
 public:
  static constexpr size_t kMaxQueued = 4 << 20;  // bytes waiting for one client
  static constexpr size_t kMaxStreams = 64;

  EventHub();
  ~EventHub();
  void Publish(const pod::LifecycleEvent& event);
  // Answers `call` with every event that is published from now on.
  void Subscribe(ServerCall& call, const grpc::Status& refused = grpc::Status::OK);
  // Ends every stream with Unavailable, and those that come later.
  void Close();
  size_t streams();

 private:
  friend class EventStream;
  using StreamPtr = std::shared_ptr<EventStream>;
  void Forget(const StreamPtr& stream);

  struct State {
    std::set<StreamPtr> streams;
    bool closed = false;
  };
  Guarded<State> state_;
};

}  // namespace berth::api
