// SPDX-License-Identifier: Apache-2.0
// From readings of a CPU counter to cores in use. Pure; its owner locks.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace berth::runtime {

// Readings come whenever somebody asks, perhaps two at nearly the same time: a rate over microseconds would
// be noise, so the older reading stays the base until kWindow has passed, and the last rate is told meanwhile.
//
//   base      <500 ms: last rate      >=500 ms: (usage - base) / time, and it is the new base
//    |--------------x------------------------x
class CpuRate {
 public:
  static constexpr std::chrono::milliseconds kWindow{500};

  // `now` is Clock::Monotonic() at the reading. Billionths of a core; unset until there are two readings.
  std::optional<uint64_t> Add(uint64_t usage_ns, std::chrono::nanoseconds now) {
    if (!base_ || usage_ns < base_->usage_ns || now < base_->at) {
      base_ = {usage_ns, now};
      rate_.reset();
    } else if (const auto elapsed = now - base_->at; elapsed >= kWindow) {
      const double cores =
          static_cast<double>(usage_ns - base_->usage_ns) / static_cast<double>(elapsed.count());
      rate_ = static_cast<uint64_t>(cores * 1e9);
      base_ = {usage_ns, now};
    }
    return rate_;
  }

 private:
  struct Reading {
    uint64_t usage_ns = 0;
    std::chrono::nanoseconds at{0};
  };
  std::optional<Reading> base_;
  std::optional<uint64_t> rate_;
};

}  // namespace berth::runtime
