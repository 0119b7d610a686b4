// SPDX-License-Identifier: Apache-2.0
#include "os/event_loop.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/strings.h"

namespace berth::os {

namespace {

using std::chrono::nanoseconds;

nanoseconds Now() {
  timespec ts{};
  ::clock_gettime(CLOCK_BOOTTIME, &ts);
  return std::chrono::seconds(ts.tv_sec) + nanoseconds(ts.tv_nsec);
}

timespec ToTimespec(nanoseconds t) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(t);
  return {.tv_sec = seconds.count(), .tv_nsec = (t - seconds).count()};
}

}  // namespace

struct EventLoop::Impl {
  struct Watched {
    uint32_t generation;
    std::shared_ptr<Callback> callback;  // shared: it may unwatch itself while it runs
  };
  struct Shared {  // under mutex
    std::vector<Task> tasks;
    bool stopped = false;
  };
  static constexpr uint32_t kOwnGeneration = 0;  // the wake and timer fds

  Fd epoll, wake, timer;
  std::map<int, Watched> watched;
  uint32_t last_generation = kOwnGeneration;
  std::map<std::pair<nanoseconds, TimerId>, Task> timers;
  std::map<TimerId, nanoseconds> deadlines;
  TimerId last_timer = 0;
  nanoseconds armed{0};
  std::mutex mutex;
  Shared shared;

  Result<> Add(int fd, uint32_t events, uint32_t generation) {
    // An event of this round for an fd that was unwatched meanwhile, and whose number is in use
    // again, is told from a new one by the generation.
    epoll_event event = Event(fd, events, generation);
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) < 0)
      return ErrnoError(StrCat("watch fd ", fd));
    return Ok();
  }
  static epoll_event Event(int fd, uint32_t events, uint32_t generation) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
    return event;
  }

  void Dispatch(const epoll_event& event) {
    const auto fd = static_cast<int>(event.data.u64 & 0xffffffffU);
    const auto generation = static_cast<uint32_t>(event.data.u64 >> 32);
    if (generation == kOwnGeneration) {
      uint64_t count;
      (void)!::read(fd, &count, sizeof count);  // only to make it not ready; both are non-blocking
      return;
    }
    auto it = watched.find(fd);
    if (it == watched.end() || it->second.generation != generation) return;
    std::shared_ptr<Callback> callback = it->second.callback;
    (*callback)(event.events);
  }

  // The timer fd fires at the earliest deadline; one that was cancelled costs an idle round.
  void Arm() {
    const nanoseconds first = timers.empty() ? nanoseconds(0) : timers.begin()->first.first;
    if (first == armed) return;
    armed = first;
    itimerspec spec{};
    spec.it_value = ToTimespec(first);
    ::timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
  }

  void RunTimers() {
    if (timers.empty()) return;
    const nanoseconds now = Now();
    std::vector<std::pair<nanoseconds, TimerId>> due;
    for (const auto& [key, task] : timers) {
      if (key.first > now) break;
      due.push_back(key);
    }
    for (const auto& key : due) {
      auto it = timers.find(key);
      if (it == timers.end()) continue;  // cancelled by an earlier one
      Task task = std::move(it->second);
      timers.erase(it);
      deadlines.erase(key.second);
      task();
    }
    // It has fired: arm again whatever the next deadline.
    if (!due.empty()) armed = nanoseconds(-1);
    Arm();
  }

  bool stopped() {
    std::lock_guard lock(mutex);
    return shared.stopped;
  }
  void RunTasks() {
    std::vector<Task> tasks;
    {
      std::lock_guard lock(mutex);
      tasks.swap(shared.tasks);
    }
    for (Task& task : tasks) task();
  }
  void Wake() {
    const uint64_t one = 1;
    (void)!::write(wake.get(), &one, sizeof one);  // full means that a wake-up is pending already
  }
};

Result<std::unique_ptr<EventLoop>> EventLoop::Make() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  loop->impl_ = std::make_unique<Impl>();
  Impl& impl = *loop->impl_;
  impl.epoll = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!impl.epoll) return ErrnoError("make epoll");
  impl.wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl.wake) return ErrnoError("make eventfd");
  impl.timer = Fd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!impl.timer) return ErrnoError("make timer");
  TRY(impl.Add(impl.wake.get(), EPOLLIN, Impl::kOwnGeneration));
  TRY(impl.Add(impl.timer.get(), EPOLLIN, Impl::kOwnGeneration));
  return loop;
}

EventLoop::~EventLoop() = default;

Result<> EventLoop::Watch(int fd, uint32_t events, Callback callback) {
  uint32_t generation = ++impl_->last_generation;
  if (generation == Impl::kOwnGeneration) generation = ++impl_->last_generation;  // wrapped
  TRY(impl_->Add(fd, events, generation));
  impl_->watched.insert_or_assign(
      fd, Impl::Watched{generation, std::make_shared<Callback>(std::move(callback))});
  return Ok();
}

Result<> EventLoop::Rewatch(int fd, uint32_t events) {
  auto it = impl_->watched.find(fd);
  if (it == impl_->watched.end())
    return Error(Code::kNotFound, StrCat("rewatch fd ", fd, ": not watched"));
  epoll_event event = Impl::Event(fd, events, it->second.generation);
  if (::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_MOD, fd, &event) < 0)
    return ErrnoError(StrCat("rewatch fd ", fd));
  return Ok();
}

void EventLoop::Unwatch(int fd) {
  auto it = impl_->watched.find(fd);
  if (it == impl_->watched.end()) return;
  Impl::Watched dead = std::move(it->second);  // its destructor may call us again
  impl_->watched.erase(it);
  // Fails when the fd was closed first, which unregistered it.
  ::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::After(nanoseconds delay, Task task) {
  const TimerId id = ++impl_->last_timer;
  const nanoseconds now = Now();
  const nanoseconds longest = nanoseconds::max() - now;
  const nanoseconds deadline = now + std::clamp(delay, nanoseconds(0), longest);
  impl_->timers.emplace(std::pair(deadline, id), std::move(task));
  impl_->deadlines.emplace(id, deadline);
  impl_->Arm();
  return id;
}

void EventLoop::Cancel(TimerId timer) {
  auto it = impl_->deadlines.find(timer);
  if (it == impl_->deadlines.end()) return;
  auto entry = impl_->timers.extract({it->second, timer});  // destroyed at the end, as above
  impl_->deadlines.erase(it);
  impl_->Arm();
}

void EventLoop::Post(Task task) {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->shared.stopped) return;
    impl_->shared.tasks.push_back(std::move(task));
  }
  impl_->Wake();
}

void EventLoop::Stop() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->shared.stopped = true;
  }
  impl_->Wake();
}

Result<> EventLoop::Run() {
  while (!impl_->stopped()) TRY(RunOnce(nanoseconds::max()));
  impl_->RunTasks();  // those posted before Stop
  return Ok();
}

Result<> EventLoop::RunOnce(nanoseconds timeout) {
  std::array<epoll_event, 64> events;
  const timespec ts = ToTimespec(std::max(timeout, nanoseconds(0)));
  const int n = ::epoll_pwait2(impl_->epoll.get(), events.data(), static_cast<int>(events.size()),
                               timeout == nanoseconds::max() ? nullptr : &ts, nullptr);
  if (n < 0 && errno != EINTR) return ErrnoError("wait for events");
  for (int i = 0; i < n; ++i) impl_->Dispatch(events[static_cast<size_t>(i)]);
  impl_->RunTimers();
  impl_->RunTasks();
  return Ok();
}

}  // namespace berth::os
