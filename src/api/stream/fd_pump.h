// SPDX-License-Identifier: Apache-2.0
// From a descriptor into a channel and from a channel into a descriptor, never holding more than the limits of
// channels.h. Each owns its Fd and its registration with the loop; owned by a session; the loop's thread. Callbacks run
// from the loop and may destroy nothing but what Stop leaves: the owner deletes pumps later than in a callback.
#pragma once

#include <functional>

#include "api/stream/byte_queue.h"
#include "api/stream/channels.h"
#include "os/event_loop.h"

namespace berth::stream {

// An fd with an interest: none means that it is not registered, so that a hangup cannot spin.
class Watch {
 public:
  Watch(os::EventLoop& loop, os::Fd fd) : loop_(loop), fd_(std::move(fd)) {}
  ~Watch() { Close(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  int get() const { return fd_.get(); }
  bool open() const { return fd_.valid(); }
  // Calls back while any of `events` (or EPOLLERR, EPOLLHUP) is there.
  Result<> Set(uint32_t events, os::EventLoop::Callback callback);
  // Other events, the same callback.
  Result<> Change(uint32_t events);
  void Pause();
  void Close();
  os::Fd Release() {
    Pause();
    return std::move(fd_);
  }

 private:
  os::EventLoop& loop_;
  os::Fd fd_;
  bool watched_ = false;
  uint32_t events_ = 0;
};

// Reads the fd as the channel has room. A channel that the client reset: reads on and drops, so that the writer is not
// stopped.
class FdSource {
 public:
  // `on_end` once: end of file or an error (EIO of a terminal whose last user left is an end).
  FdSource(os::EventLoop& loop, os::Fd fd, Channels& channels, ChannelId id,
           std::function<void()> on_end)
      : watch_(loop, std::move(fd)), channels_(channels), id_(id), on_end_(std::move(on_end)) {}

  Result<> Start();
  void Resume();  // there is room again
  void DropOutput() {
    dropping_ = true;
    Resume();
  }
  void Stop() { watch_.Close(); }
  bool ended() const { return !watch_.open(); }

 private:
  void OnReadable();

  Watch watch_;
  Channels& channels_;
  const ChannelId id_;
  std::function<void()> on_end_;
  bool paused_ = false;
  bool dropping_ = false;
};

// What happens to the fd when the client ends the channel and all is written.
enum class AtEnd {
  kClose,
  kShutdown,  // a socket: shutdown(SHUT_WR), then close; the other copy of the fd reads on
  kKeep,      // a terminal: it has one end for all
};

class FdSink {
 public:
  FdSink(os::EventLoop& loop, os::Fd fd, Channels& channels, ChannelId id, AtEnd at_end)
      : watch_(loop, std::move(fd)), channels_(channels), id_(id), at_end_(at_end) {}

  // `on_done` once: all is written after End, or the reader is gone.
  Result<> Start(std::function<void()> on_done);
  void Push(std::string_view bytes);
  void End();
  void Stop();  // drops what is held
  size_t held() const { return queue_.size(); }
  bool done() const { return done_; }
  int fd() const { return watch_.get(); }

 private:
  void Flush();
  void Rearm();
  void Finish();

  Watch watch_;
  Channels& channels_;
  const ChannelId id_;
  const AtEnd at_end_;
  std::function<void()> on_done_;
  ByteQueue queue_;
  bool started_ = false;
  bool ended_ = false;
  bool done_ = false;
};

}  // namespace berth::stream
