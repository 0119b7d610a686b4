// SPDX-License-Identifier: Apache-2.0
// The contents of control group files, v1 and v2, as numbers (Documentation/admin-guide/cgroup-v1/,
// cgroup-v2.rst, accounting/psi.rst of the kernel). Pure; any thread. InvalidArgument quoting the line
// that is not what the kernel writes; keys that are not known are passed over.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::os {

// One number; "max" has no value.
Result<std::optional<uint64_t>> ParseCgroupNumber(std::string_view text);

// Calls `each` for every "key value" line: cpu.stat, memory.stat, memory.events, cpuacct.stat,
// memory.oom_control.
Result<> ParseFlatKeyed(std::string_view text,
                        const std::function<void(std::string_view key, uint64_t value)>& each);

struct PressureTimes {
  uint64_t total_us = 0;                    // since the group was made
  double avg10 = 0, avg60 = 0, avg300 = 0;  // percent
};
struct Pressure {
  PressureTimes some, full;  // zero where the kernel has none ("full" of a CPU before 5.13)
};
// cpu.pressure, memory.pressure, io.pressure.
Result<Pressure> ParsePressure(std::string_view text);

struct DeviceIo {
  uint32_t major = 0, minor = 0;
  uint64_t read_bytes = 0, write_bytes = 0, reads = 0, writes = 0;
};
// io.stat of v2.
Result<std::vector<DeviceIo>> ParseIoStat(std::string_view text);
// blkio.throttle.io_service_bytes_recursive and .io_serviced_recursive of v1.
Result<std::vector<DeviceIo>> ParseBlkio(std::string_view bytes, std::string_view operations);

// cgroup.procs: pids, in no order, perhaps one twice (cgroups(7)).
Result<std::vector<int>> ParsePids(std::string_view text);

}  // namespace berth::os
