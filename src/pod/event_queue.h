// SPDX-License-Identifier: Apache-2.0
// What is to be handled on the engine's event thread, in order. Shared with the runtime's sink, so
// that an event that comes after the engine's end is dropped, not a crash. Any thread may push; one
// pops.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "base/guarded.h"
#include "pod/engine.h"
#include "runtime/runtime.h"

namespace berth::pod {

struct SandboxObject;

// An event that is not reported yet, with its pod, whose record may go before that.
struct PendingEvent {
  LifecycleEvent event;
  std::shared_ptr<SandboxObject> sandbox;  // may be null
};

using EngineEvent = std::variant<runtime::ContainerExited, runtime::MonitorLost,
                                 runtime::MonitorAnswered, PendingEvent>;

class EventQueue {
 public:
  void Push(EngineEvent event) {
    {
      auto state = state_.Lock();
      if (state->closed) return;
      state->events.push_back(std::move(event));
    }
    state_.NotifyAll();
  }
  // Waits; no value: closed, and everything before that has been popped.
  std::optional<EngineEvent> Pop() {
    auto state = state_.Lock();
    state_.Wait(state, [](State& s) { return s.closed || !s.events.empty(); });
    if (state->events.empty()) return std::nullopt;
    EngineEvent event = std::move(state->events.front());
    state->events.pop_front();
    return event;
  }
  void Close() {
    state_.Lock()->closed = true;
    state_.NotifyAll();
  }

 private:
  struct State {
    std::deque<EngineEvent> events;
    bool closed = false;
  };
  Guarded<State> state_;
};

}  // namespace berth::pod
