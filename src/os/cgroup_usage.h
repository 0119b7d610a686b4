// SPDX-License-Identifier: Apache-2.0
// What a control group has used, v1 and v2 in the same words. A value is unset where the kernel, or the
// hierarchies that are mounted, do not tell it. Bytes, nanoseconds and counts since the group was made.
// Values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "os/cgroup_files.h"

namespace berth::os {

struct CgroupCpu {
  uint64_t usage_ns = 0;
  std::optional<Pressure> pressure;
  // v1: only with CgroupDetail::kAll.
  uint64_t user_ns = 0, system_ns = 0;
  uint64_t periods = 0, throttled_periods = 0, throttled_ns = 0;
};

struct CgroupMemory {
  uint64_t usage = 0;
  uint64_t working_set = 0;  // usage without inactive_file, never below 0
  std::optional<uint64_t> limit;
  uint64_t rss = 0;  // anonymous
  uint64_t cache = 0, mapped_file = 0;
  uint64_t page_faults = 0, major_page_faults = 0;
  std::optional<uint64_t> swap;        // unset: the kernel counts none
  std::optional<uint64_t> swap_limit;  // of swap alone
  std::optional<Pressure> pressure;
  // Only with CgroupDetail::kAll.
  uint64_t kernel = 0;
  std::optional<uint64_t> max_usage;
  uint64_t limit_hits = 0, oom_kills = 0;
  uint64_t reservation = 0;
};

struct CgroupHugetlb {
  std::string page_size;  // "2MB"
  uint64_t usage = 0;
  std::optional<uint64_t> max_usage;  // v1 only
};

struct CgroupUsage {
  std::optional<CgroupCpu> cpu;
  std::optional<CgroupMemory> memory;
  std::optional<uint64_t> tasks;  // threads count, as pids.current has it
  std::optional<Pressure> io_pressure;
  // Only with CgroupDetail::kAll.
  std::optional<uint64_t> tasks_limit;
  std::vector<DeviceIo> io;
  std::vector<CgroupHugetlb> hugetlb;
  std::vector<int> pids;
};

}  // namespace berth::os
