// SPDX-License-Identifier: Apache-2.0
// The monitor's event loop: one epoll(7) event per round, so that a callback may end any other
// watch. Monotonic timers. Owned by main; everything in src/monitor runs on its one thread.
// (os::EventLoop is for threaded programs.)
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace berth::monitor {

class Loop;

// A descriptor and what to do when it is ready. Close ends the watching and keeps the object: a
// callback may close its own watch, but must not destroy it.
class Watch {
 public:
  using Callback = std::function<void(uint32_t events)>;
  Watch() = default;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { Close(); }

  Result<> Open(Loop* loop, os::Fd fd, uint32_t events, Callback callback);
  void Close();
  bool open() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }

 private:
  friend class Loop;
  Loop* loop_ = nullptr;
  os::Fd fd_;
  Callback callback_;
};

// Runs once when its time has come, unless it is set anew or stopped.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { Stop(); }

  void Set(Loop* loop, int64_t delay_ms, std::function<void()> callback);
  void Stop();

 private:
  friend class Loop;
  Loop* loop_ = nullptr;
  int64_t at_ms_ = 0;
  std::function<void()> callback_;
};

class Loop {
 public:
  Result<> Open();
  // Waits for one event or timer and handles it. False: nothing came within `idle_ms`.
  Result<bool> Round(int idle_ms);

 private:
  friend class Watch;
  friend class Timer;
  bool FireTimer(int64_t now);

  os::Fd epoll_;
  std::vector<Timer*> timers_;
};

int64_t NowMs();      // CLOCK_BOOTTIME
int64_t WallNanos();  // CLOCK_REALTIME

}  // namespace berth::monitor
