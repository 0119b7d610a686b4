// SPDX-License-Identifier: Apache-2.0
// One connection to a pod's monitor: requests matched to replies, events passed on. Shared by
// MonitorRuntime and calls in flight. Call and WaitLost block, on any thread but the loop's; events
// come on the loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "monitor/protocol.h"
#include "os/dir_fd.h"
#include "os/event_loop.h"
#include "os/fd.h"

namespace berth::runtime {

// Where the end of one exec session arrives; `ready` becomes readable then.
struct ExecWait {
  os::Fd ready;  // eventfd
  Guarded<std::optional<monitor::Exit>> exit;
  Guarded<bool> lost{false};
};

class MonitorClient : public std::enable_shared_from_this<MonitorClient> {
 public:
  struct Events {
    std::function<void(const monitor::ContainerExited&)> exited;
    std::function<void()> lost;  // once, unless Close was called before
  };
  struct Answer {
    std::string body;
    std::vector<os::Fd> fds;
  };

  // Connects to monitor.sock below `pod` and says hello, waiting for at most `timeout`. Unavailable
  // when nobody listens. Events begin with Begin.
  static Result<std::shared_ptr<MonitorClient>> Connect(const os::DirFd& pod,
                                                        std::chrono::milliseconds timeout);
  MonitorClient(const MonitorClient&) = delete;
  MonitorClient& operator=(const MonitorClient&) = delete;

  const monitor::HelloAnswer& hello() const { return hello_; }
  void Begin(os::EventLoop* loop, Events events);
  // The monitor is about to be told to end: that is no loss.
  void ExpectEnd() { state_.Lock()->end_expected = true; }
  // No event any more, every call in flight ends with Unavailable.
  void Close();
  bool lost();
  // Until the connection has ended; false when the time is over.
  bool WaitLost(std::chrono::milliseconds timeout);

  // The monitor's own error, DeadlineExceeded after `timeout`, or Unavailable when the connection
  // ends.
  template <class T>
  Result<Answer> Call(monitor::Type type, const T& body, std::chrono::milliseconds timeout,
                      std::span<const int> fds = {}) {
    const uint64_t id = NextId();
    return CallPacket(id, monitor::Packet(type, id, body), timeout, fds);
  }
  Result<Answer> Call(monitor::Type type, std::chrono::milliseconds timeout,
                      std::span<const int> fds = {}) {
    const uint64_t id = NextId();
    return CallPacket(id, monitor::Packet(type, id), timeout, fds);
  }
  template <class T>
  static Result<T> Decoded(const Answer& answer) {
    T value;
    wire::Reader reader(answer.body);
    TRY(monitor::Decode(reader, value), "monitor's answer");
    return value;
  }

  Result<std::shared_ptr<ExecWait>> ExpectExec(const std::string& exec_id);
  void ForgetExec(const std::string& exec_id);

 private:
  struct State {
    uint64_t next_id = 2;  // 1 was hello
    std::map<uint64_t, std::optional<Result<Answer>>> pending;
    std::map<std::string, std::shared_ptr<ExecWait>> execs;
    bool lost = false;
    bool end_expected = false;
    bool closed = false;
  };
  explicit MonitorClient(os::Fd socket) : socket_(std::move(socket)) {}
  Result<> SayHello();
  uint64_t NextId() { return state_.Lock()->next_id++; }
  Result<Answer> CallPacket(uint64_t id, const std::string& packet,
                            std::chrono::milliseconds timeout, std::span<const int> fds);
  void Readable();
  Result<> ReadOne(bool& end);
  void Ended();

  os::Fd socket_;
  monitor::HelloAnswer hello_;
  os::EventLoop* loop_ = nullptr;
  Events events_;
  Guarded<State> state_;
};

}  // namespace berth::runtime
