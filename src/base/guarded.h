// SPDX-License-Identifier: Apache-2.0
// Guarded<T>: data and its mutex in one type; there is no access without the lock.
// Owned by whoever shares the data; any thread. Never hold one across I/O, spawn or a call into
// another module.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace berth {

template <class T>
class Guarded {
 public:
  template <class... Args>
  explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}

  class Locked {
   public:
    T* operator->() { return value_; }
    T& operator*() { return *value_; }

   private:
    friend class Guarded;
    Locked(std::mutex& mutex, T* value) : lock_(mutex), value_(value) {}
    std::unique_lock<std::mutex> lock_;
    T* value_;
  };

  [[nodiscard]] Locked Lock() { return Locked(mutex_, &value_); }

  // Waits, releasing the lock meanwhile, until pred(T&) holds.
  template <class Pred>
  void Wait(Locked& locked, Pred pred) {
    changed_.wait(locked.lock_, [&] { return pred(value_); });
  }
  // The same, for at most `timeout`; returns pred's last answer.
  template <class Pred>
  bool WaitFor(Locked& locked, std::chrono::nanoseconds timeout, Pred pred) {
    return changed_.wait_for(locked.lock_, timeout, [&] { return pred(value_); });
  }
  // Wakes every waiter; call after a change that a predicate may be waiting for.
  void NotifyAll() { changed_.notify_all(); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_;
};

}  // namespace berth
