// SPDX-License-Identifier: Apache-2.0
// Left out of the monitor's build by its #if: that program has one thread.
#include "base/executor.h"

#ifndef BERTH_TINY

#include <system_error>

#include "base/log.h"
#include "base/strings.h"

namespace berth {

Executor::~Executor() {
  auto state = state_.Lock();
  state->stopping = true;
  state_.NotifyAll();
  state_.Wait(state, [](const State& s) { return s.threads == 0; });
}

Result<> Executor::Submit(Task task) {
  auto state = state_.Lock();
  if (state->stopping) return Error(Code::kUnavailable, StrCat(options_.name, ": stopping"));
  bool need_thread = state->idle <= state->queue.size() && state->threads < options_.max_threads;
  if (!need_thread && state->queue.size() >= options_.max_queue) {
    return Error(Code::kResourceExhausted,
                 StrCat(options_.name, ": ", state->queue.size(), " calls wait already"));
  }
  if (need_thread) {
    try {
      std::thread([this] { Work(); }).detach();
      ++state->threads;
    } catch (const std::system_error& e) {
      if (state->threads == 0) {
        return Error(Code::kResourceExhausted, StrCat(options_.name, ": start thread: ", e.what()));
      }
    }
  }
  state->queue.push_back(std::move(task));
  state_.NotifyAll();
  return Ok();
}

size_t Executor::threads() { return state_.Lock()->threads; }

void Executor::Work() {
  auto state = state_.Lock();
  for (;;) {
    ++state->idle;
    bool woken = state_.WaitFor(state, options_.idle_time,
                                [](const State& s) { return s.stopping || !s.queue.empty(); });
    --state->idle;
    if (state->queue.empty()) {
      if (!woken || state->stopping) break;
      continue;
    }
    Task task = std::move(state->queue.front());
    state->queue.pop_front();
    {
      auto unlocked = std::move(state);
    }
    try {
      task();
    } catch (const std::exception& e) {
      LogError(StrCat(options_.name, ": a task threw: ", e.what()));
    }
    task = nullptr;
    state = state_.Lock();
  }
  --state->threads;
  // Notified under the lock: once it is released the destructor may free this object.
  state_.NotifyAll();
}

}  // namespace berth

#endif
