// SPDX-License-Identifier: Apache-2.0
// Time as a dependency, so that tests decide it. Timers use Monotonic; only what is shown to people
// uses Wall. Not owned by its users; any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace berth {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since 1970 (CLOCK_REALTIME), as CRI reports them; never negative.
  virtual int64_t WallNanos() const = 0;
  // CLOCK_BOOTTIME: not moved by clock changes, runs on while the machine sleeps.
  virtual std::chrono::nanoseconds Monotonic() const = 0;
};

class SystemClock final : public Clock {
 public:
  int64_t WallNanos() const override;
  std::chrono::nanoseconds Monotonic() const override;
};

// For tests: stands still until told.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t wall_nanos = 1'700'000'000'000'000'000) : wall_(wall_nanos) {}
  int64_t WallNanos() const override { return wall_; }
  std::chrono::nanoseconds Monotonic() const override { return std::chrono::nanoseconds(mono_); }
  void Advance(std::chrono::nanoseconds by) {
    wall_ += by.count();
    mono_ += by.count();
  }

 private:
  std::atomic<int64_t> wall_;
  std::atomic<int64_t> mono_{1'000'000'000};
};

}  // namespace berth
