// SPDX-License-Identifier: Apache-2.0
// What is done with a client's channels: exec and attach (stdio_session.h) or port-forward (forward_session.h). Owned by
// the Connection, which is its SessionHost; the loop's thread. A session holds the fds that the daemon sent and needs
// nobody else from then on.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "api/stream/channels.h"
#include "api/stream/protocol.h"
#include "os/event_loop.h"

namespace berth::stream {

struct BegunSession {
  Begun begun;
  std::vector<os::Fd> fds;  // as many as begun says, in its order
};

// How many connections into pods there may be at a time, over all sessions: each takes two fds.
class DialBudget {
 public:
  explicit DialBudget(size_t most) : left_(most) {}
  bool Take() {
    if (left_ == 0) return false;
    --left_;
    return true;
  }
  void Give() { ++left_; }
  size_t left() const { return left_; }

 private:
  size_t left_;
};

class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual os::EventLoop& loop() = 0;
  virtual Channels& channels() = 0;
  virtual DialBudget& dials() = 0;
  // Asks the daemon to begin; answered once, later, unless the session was stopped.
  virtual void Begin(std::function<void(Result<BegunSession>)> answer) = 0;
  // All is said: the client gets what was sent, then the connection is closed. The session stays until then.
  virtual void Finish() = 0;
  // The client broke a rule or time is over: the connection is closed at once.
  virtual void Fail(Error error) = 0;
};

class Session : public ChannelUser {
 public:
  // Closes every fd and timer; nothing is called back afterwards.
  virtual void Stop() = 0;
  // The most that is held for one of the channels.
  virtual size_t Held() const = 0;
};

struct Timeouts {
  std::chrono::nanoseconds head = std::chrono::seconds(10);      // for the request
  std::chrono::nanoseconds creation = std::chrono::seconds(30);  // for the client's streams
  std::chrono::nanoseconds idle = std::chrono::hours(4);         // no byte in either direction
  std::chrono::nanoseconds flush = std::chrono::seconds(30);     // at the end, without a byte taken
};

// A timer that ends with its owner.
class Timer {
 public:
  explicit Timer(os::EventLoop& loop) : loop_(loop) {}
  ~Timer() { Cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void Set(std::chrono::nanoseconds delay, os::EventLoop::Task task) {
    Cancel();
    id_ = loop_.After(delay, [this, task = std::move(task)] {
      id_ = 0;
      // Moved out: the task may set this timer again or end it.
      auto run = task;
      run();
    });
  }
  void Cancel() {
    if (id_ != 0) loop_.Cancel(std::exchange(id_, 0));
  }

 private:
  os::EventLoop& loop_;
  os::EventLoop::TimerId id_ = 0;
};

}  // namespace berth::stream
