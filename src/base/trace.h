// SPDX-License-Identifier: Apache-2.0
// How long the steps of one call took. Owned by the object that the call makes, lent to the layers below while the call
// lasts; any thread. Times are of CLOCK_MONOTONIC, so that those of other processes fit in. Not in the monitor's build.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace berth {

class Trace {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kMaxSteps = 24;

  struct Step {
    std::array<char, 32> name{};  // what is longer is cut
    uint32_t began_us = 0;        // after the call did
    uint32_t took_us = 0;
    uint32_t cpu_us = 0;  // user and system, of a program that another process ran; 0: not known
  };

  // The call begins now; what there was is forgotten.
  void Begin() {
    const std::lock_guard lock(mutex_);
    began_ = Clock::now();
    took_us_.reset();
    steps_.clear();
  }
  void End() {
    const std::lock_guard lock(mutex_);
    took_us_ = Micros(Clock::now() - began_);
  }
  // What is beyond kMaxSteps is dropped.
  void Add(std::string_view name, Clock::time_point began, Clock::duration took,
           uint32_t cpu_us = 0) {
    const std::lock_guard lock(mutex_);
    if (steps_.size() >= kMaxSteps) return;
    Step& step = steps_.emplace_back();
    name.copy(step.name.data(), step.name.size() - 1);
    step.began_us = Micros(began - began_);
    step.took_us = Micros(took);
    step.cpu_us = cpu_us;
  }
  // In the order in which they began. A step that goes on is not among them.
  std::vector<Step> Steps() const {
    const std::lock_guard lock(mutex_);
    std::vector<Step> steps = steps_;
    std::stable_sort(steps.begin(), steps.end(),
                     [](const Step& a, const Step& b) { return a.began_us < b.began_us; });
    return steps;
  }
  // The whole call. Nothing: none has ended in this process's life.
  std::optional<uint32_t> took_us() const {
    const std::lock_guard lock(mutex_);
    return took_us_;
  }

 private:
  static uint32_t Micros(Clock::duration time) {
    const auto count = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    return static_cast<uint32_t>(std::clamp<int64_t>(count, 0, UINT32_MAX));
  }

  mutable std::mutex mutex_;
  Clock::time_point began_{};
  std::optional<uint32_t> took_us_;
  std::vector<Step> steps_;
};

// Runs `work` and adds what it took, however it ends. Without a trace it only runs it.
template <class F>
auto Traced(Trace* trace, std::string_view step, F&& work) {
  if (trace == nullptr) return work();
  const Trace::Clock::time_point began = Trace::Clock::now();
  auto result = work();
  trace->Add(step, began, Trace::Clock::now() - began);
  return result;
}

}  // namespace berth
