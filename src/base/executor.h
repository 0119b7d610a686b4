// SPDX-License-Identifier: Apache-2.0
// A bounded pool of threads that grows on demand and shrinks when idle: blocking calls run here, so
// that slow ones cannot starve quick ones. Owned by the daemon; Submit from any thread; the
// destructor finishes what was accepted.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>

#include "base/guarded.h"
#include "base/result.h"

namespace berth {

class Executor {
 public:
  using Task = std::function<void()>;
  struct Options {
    std::string name;
    size_t max_threads = 4;
    size_t max_queue = 1024;  // tasks waiting for a thread
    std::chrono::nanoseconds idle_time = std::chrono::seconds(30);
  };
  explicit Executor(Options options) : options_(std::move(options)) {}
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  ~Executor();

  // ResourceExhausted when the queue is full or no thread can be made; the task has then not been
  // accepted.
  Result<> Submit(Task task);
  size_t threads();

 private:
  struct State {
    std::deque<Task> queue;
    size_t threads = 0;
    size_t idle = 0;
    bool stopping = false;
  };
  void Work();
  const Options options_;
  Guarded<State> state_;
};

}  // namespace berth
