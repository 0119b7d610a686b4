// SPDX-License-Identifier: Apache-2.0
// One epoll(7) loop: readable fds, timers on CLOCK_BOOTTIME, and functions posted by other threads.
// Owned by the program's main object. Run, Watch, Unwatch, After, Cancel on the loop's thread;
// Post, Stop on any.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace berth::os {

class EventLoop {
 public:
  using Callback = std::function<void(uint32_t events)>;
  using Task = std::function<void()>;
  using TimerId = uint64_t;

  static Result<std::unique_ptr<EventLoop>> Make();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Calls back with epoll events (EPOLLIN, EPOLLHUP ...) until Unwatch. Does not own fd. A callback
  // may unwatch any fd.
  Result<> Watch(int fd, uint32_t events, Callback callback);
  Result<> Rewatch(int fd, uint32_t events);
  void Unwatch(int fd);

  TimerId After(std::chrono::nanoseconds delay, Task task);
  void Cancel(TimerId timer);

  // Runs `task` on the loop's thread, soon. Tasks posted after Stop never run.
  void Post(Task task);
  // Until Stop.
  Result<> Run();
  // One round: handles what is ready, waiting at most `timeout`. For tests.
  Result<> RunOnce(std::chrono::nanoseconds timeout);
  void Stop();

 private:
  EventLoop() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::os
