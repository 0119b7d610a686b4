// SPDX-License-Identifier: Apache-2.0
#include "api/stream/fd_pump.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace berth::stream {

Result<> Watch::Set(uint32_t events, os::EventLoop::Callback callback) {
  Pause();
  TRY(loop_.Watch(fd_.get(), events, std::move(callback)));
  watched_ = true;
  events_ = events;
  return Ok();
}

Result<> Watch::Change(uint32_t events) {
  if (events == events_) return Ok();
  events_ = events;
  return loop_.Rewatch(fd_.get(), events);
}

void Watch::Pause() {
  if (std::exchange(watched_, false)) loop_.Unwatch(fd_.get());
}

void Watch::Close() {
  Pause();
  fd_.Reset();
}

Result<> FdSource::Start() {
  TRY(os::SetNonBlocking(watch_.get(), true));
  return watch_.Set(EPOLLIN, [this](uint32_t) { OnReadable(); });
}

void FdSource::Resume() {
  if (!watch_.open() || !paused_) return;
  if (!dropping_ && channels_.Room(id_) == 0) return;
  paused_ = false;
  // The fd was watched before: what can fail now is memory of the kernel, and then the output ends here.
  if (!watch_.Set(EPOLLIN, [this](uint32_t) { OnReadable(); })) {
    watch_.Close();
    on_end_();
  }
}

void FdSource::OnReadable() {
  std::array<char, kPiece> piece;
  const size_t room = dropping_ ? piece.size() : std::min(piece.size(), channels_.Room(id_));
  if (room == 0) {
    paused_ = true;
    watch_.Pause();
    return;
  }
  const ssize_t n = ::read(watch_.get(), piece.data(), room);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0) {
    if (!dropping_) channels_.Send(id_, {piece.data(), static_cast<size_t>(n)});
    return;
  }
  watch_.Close();
  on_end_();
}

Result<> FdSink::Start(std::function<void()> on_done) {
  on_done_ = std::move(on_done);
  TRY(os::SetNonBlocking(watch_.get(), true));
  // Without bytes only errors are awaited: a pipe tells that its reader is gone.
  TRY(watch_.Set(0, [this](uint32_t got) {
    if ((got & EPOLLOUT) != 0) return Flush();
    if ((got & (EPOLLERR | EPOLLHUP)) != 0) Finish();
  }));
  started_ = true;
  return Ok();
}

void FdSink::Push(std::string_view bytes) {
  if (done_ || ended_) {
    channels_.Consumed(id_, bytes.size());
    return;
  }
  queue_.Append(bytes);
  if (started_) Flush();
}

void FdSink::End() {
  if (std::exchange(ended_, true) || done_) return;
  if (started_) Flush();
}

void FdSink::Stop() {
  done_ = true;
  watch_.Close();
  const size_t held = queue_.size();
  queue_.Clear();
  if (held != 0) channels_.Consumed(id_, held);
}

void FdSink::Flush() {
  while (!done_ && !queue_.empty()) {
    const std::string_view bytes = queue_.View();
    const ssize_t n = ::write(watch_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return Finish();
    queue_.Consume(static_cast<size_t>(n));
    channels_.Consumed(id_, static_cast<size_t>(n));
  }
  if (done_) return;
  if (queue_.empty() && ended_) {
    if (at_end_ == AtEnd::kShutdown) ::shutdown(watch_.get(), SHUT_WR);
    if (at_end_ != AtEnd::kKeep) return Finish();
  }
  Rearm();
}

void FdSink::Rearm() {
  const uint32_t events = queue_.empty() ? 0U : static_cast<uint32_t>(EPOLLOUT);
  if (!watch_.Change(events)) Finish();
}

void FdSink::Finish() {
  if (done_) return;
  Stop();
  if (on_done_) on_done_();
}

}  // namespace berth::stream
