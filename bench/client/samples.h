// SPDX-License-Identifier: Apache-2.0
// How long calls took: milliseconds of std::chrono::steady_clock by the name of the step.
// Owned by a command of berth-bench; any thread.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace berth::bench {

using Clock = std::chrono::steady_clock;

inline double MillisecondsSince(Clock::time_point began) {
  return std::chrono::duration<double, std::milli>(Clock::now() - began).count();
}

class Samples {
 public:
  void Add(const std::string& step, double milliseconds);
  // {"step": [ms, ...], ...}
  std::string Json() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<double>> by_step_;
};

}  // namespace berth::bench
