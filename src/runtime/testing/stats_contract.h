// SPDX-License-Identifier: Apache-2.0
// What every Stats promises, checked on a fresh one: run for FakeStats and for LinuxStats over a fixture of
// control groups. Calls gtest's EXPECT_ and ASSERT_; one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "runtime/stats.h"

namespace berth::runtime {

class StatsUnderTest {
 public:
  virtual ~StatsUnderTest() = default;
  virtual Stats& stats() = 0;
  virtual ManualClock& clock() = 0;
  // Makes the group or changes it: CPU time and memory in use, one task.
  virtual void SetGroup(const std::string& path, uint64_t cpu_ns, uint64_t memory) = 0;
  virtual void RemoveGroup(const std::string& path) = 0;
};
using StatsFactory = std::function<std::unique_ptr<StatsUnderTest>()>;

// `make` is called once per promise; what it gave is destroyed before the next call.
void CheckStatsContract(const StatsFactory& make);

}  // namespace berth::runtime
