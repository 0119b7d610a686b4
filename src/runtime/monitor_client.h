// SPDX-License-Identifier: Apache-2.0
// One connection to a pod's monitor: requests matched to replies, events passed on. Shared by
// MonitorRuntime and calls in flight. Call and WaitLost block, on any thread but the loop's; events
// come on the loop's thread.
//
//   Open: hello is sent                             it is asked for a sign of life (Ping)
//        | its answer               no word for a while  |  still no word
//   (hanging) -------> answering ------------------------+----------------> hanging
//                          ^                                                   |
//                          +---------------- any packet from it ---------------+
//
// While a monitor hangs, every call but an urgent one is refused at once; nothing is sent to find out that it answers
// again, since it still owes answers. A monitor that is only quiet costs nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
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

// What a call to a monitor that hangs ends with: DeadlineExceeded.
Error MonitorHangs(const std::string& sandbox_id);

// How long one call waits.
struct CallLimits {
  // NOLINTNEXTLINE(google-explicit-constructor): most calls have nothing else to say
  CallLimits(std::chrono::milliseconds total_time,
             std::chrono::milliseconds silence_time = std::chrono::seconds(10))
      : total(total_time), silence(silence_time) {}
  std::chrono::milliseconds total;    // for the answer
  std::chrono::milliseconds silence;  // without any word from the monitor: it hangs
  bool urgent = false;                // also sent to one that is known to hang, and waited for
  std::stop_token cancelled;          // nobody waits any more
};

class MonitorClient : public std::enable_shared_from_this<MonitorClient> {
 public:
  struct Events {
    std::function<void(const monitor::ContainerExited&)> exited;
    std::function<void()> lost;  // once, unless Close was called before
    std::function<void()>
        answered;  // the hello, when nobody has taken its answer before Begin; before any other
  };
  struct Answer {
    std::string body;
    std::vector<os::Fd> fds;
  };

  // Connects to monitor.sock below `pod`, the directory of the sandbox `sandbox_id`, and says hello. Unavailable when
  // nobody listens, EAGAIN when it has more connections waiting than it may: it hangs.
  static Result<std::shared_ptr<MonitorClient>> Open(const os::DirFd& pod,
                                                     const std::string& sandbox_id);
  // The answer to hello, once fd() is readable. Not after Begin, which takes it otherwise.
  Result<> TakeHello();
  int fd() const { return socket_.get(); }
  // Both, waiting for at most `timeout`: Unavailable.
  static Result<std::shared_ptr<MonitorClient>> Connect(const os::DirFd& pod,
                                                        const std::string& sandbox_id,
                                                        std::chrono::milliseconds timeout);
  MonitorClient(const MonitorClient&) = delete;
  MonitorClient& operator=(const MonitorClient&) = delete;

  // The hello was answered; hello() may be asked for from then on.
  bool answered() { return state_.Lock()->answered; }
  const monitor::HelloAnswer& hello() const { return hello_; }
  bool hangs() { return state_.Lock()->hangs; }
  // Of the monitor, which was alive, and so had its number, after it was opened. Needs answered().
  Result<os::Fd> OpenPidFd() const;

  // Events begin.
  void Begin(os::EventLoop* loop, Events events);
  // The monitor is about to be told to end: that is no loss.
  void ExpectEnd() { state_.Lock()->end_expected = true; }
  // No event any more, every call in flight ends with Unavailable.
  void Close();
  bool lost() { return state_.Lock()->lost; }
  // Until the connection has ended; false when the time is over.
  bool WaitLost(std::chrono::milliseconds timeout);

  // The monitor's own error, DeadlineExceeded after a limit or at once when it is known to hang, Cancelled, or
  // Unavailable when the connection ends.
  template <class T>
  Result<Answer> Call(monitor::Type type, const T& body, const CallLimits& limits,
                      std::span<const int> fds = {}) {
    const uint64_t id = NextId();
    return CallPacket(id, monitor::Packet(type, id, body), limits, fds);
  }
  Result<Answer> Call(monitor::Type type, const CallLimits& limits, std::span<const int> fds = {}) {
    const uint64_t id = NextId();
    return CallPacket(id, monitor::Packet(type, id), limits, fds);
  }
  // Sent, even to one that hangs, and its answer not waited for.
  template <class T>
  void Tell(monitor::Type type, const T& body) {
    SendOrDrop(monitor::Packet(type, NextId(), body));
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
    uint64_t heard = 0;  // packets
    bool answered = false;
    bool hangs = true;
    bool lost = false;
    bool end_expected = false;
    bool closed = false;
  };
  // What one call has waited for so far.
  struct Waited {
    std::chrono::milliseconds total{0};
    std::chrono::milliseconds silent{0};
    uint64_t heard = 0;
    bool pinged = false;
  };
  MonitorClient(os::Fd socket, std::string sandbox_id)
      : socket_(std::move(socket)), sandbox_id_(std::move(sandbox_id)) {}
  uint64_t NextId() { return state_.Lock()->next_id++; }
  Result<Answer> CallPacket(uint64_t id, const std::string& packet, const CallLimits& limits,
                            std::span<const int> fds);
  Result<> Send(const std::string& packet, const CallLimits& limits, std::span<const int> fds);
  void SendOrDrop(const std::string& packet);
  Result<> Await(uint64_t id, const CallLimits& limits);
  Result<bool> AwaitSlice(uint64_t id, const CallLimits& limits, Waited& waited);
  Error FoundHanging();
  Result<> DecodeHello(const std::string& packet);
  void Readable();
  Result<> ReadOne(bool& end);
  Result<> TakeEvent(monitor::Type type, wire::Reader& reader);
  void Ended();

  os::Fd socket_;  // does not block
  const std::string sandbox_id_;
  monitor::HelloAnswer hello_;  // written once, before State::answered
  os::EventLoop* loop_ = nullptr;
  Events events_;
  Guarded<State> state_;
};

}  // namespace berth::runtime
