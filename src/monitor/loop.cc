// SPDX-License-Identifier: Apache-2.0
#include "monitor/loop.h"

#include <time.h>

#include <algorithm>
#include <cerrno>

namespace berth::monitor {

int64_t NowMs() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

int64_t WallNanos() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::max<int64_t>(0, now.tv_sec * 1'000'000'000 + now.tv_nsec);
}

Result<> Watch::Open(Loop* loop, os::Fd fd, uint32_t events, Callback callback) {
  Close();
  epoll_event event{};
  event.events = events;
  event.data.ptr = this;
  if (::epoll_ctl(loop->epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) < 0)
    return ErrnoError("watch descriptor");
  loop_ = loop;
  fd_ = std::move(fd);
  callback_ = std::move(callback);
  return Ok();
}

void Watch::Close() {
  if (!fd_) return;
  // Removed by hand: a copy of the descriptor in a child would keep it in the epoll set.
  ::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_DEL, fd_.get(), nullptr);
  fd_.Reset();
}

void Timer::Set(Loop* loop, int64_t delay_ms, std::function<void()> callback) {
  Stop();
  loop_ = loop;
  at_ms_ = NowMs() + delay_ms;
  callback_ = std::move(callback);
  loop->timers_.push_back(this);
}

void Timer::Stop() {
  if (loop_ == nullptr) return;
  std::erase(loop_->timers_, this);
  loop_ = nullptr;
}

Result<> Loop::Open() {
  epoll_ = os::Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return ErrnoError("make epoll");
  return Ok();
}

bool Loop::FireTimer(int64_t now) {
  for (Timer* timer : timers_) {
    if (timer->at_ms_ > now) continue;
    timer->Stop();
    // The callback may set the same timer again.
    std::function<void()> callback = std::move(timer->callback_);
    callback();
    return true;
  }
  return false;
}

Result<bool> Loop::Round(int idle_ms) {
  const int64_t now = NowMs();
  if (FireTimer(now)) return true;
  int64_t wait = idle_ms < 0 ? INT32_MAX : idle_ms;
  for (const Timer* timer : timers_) wait = std::min(wait, timer->at_ms_ - now);
  const bool forever = idle_ms < 0 && timers_.empty();
  epoll_event event{};
  const int n = ::epoll_wait(epoll_.get(), &event, 1, forever ? -1 : static_cast<int>(wait));
  if (n < 0) {
    if (errno == EINTR) return true;
    return ErrnoError("wait for events");
  }
  if (n == 0) return FireTimer(NowMs());
  static_cast<Watch*>(event.data.ptr)->callback_(event.events);
  return true;
}

}  // namespace berth::monitor
