// SPDX-License-Identifier: Apache-2.0
// From the texts of a control group's files to CgroupUsage.
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"
#include "os/cgroup_meter_internal.h"

namespace berth::os {

namespace {

// Limits of v1 are rounded down to pages, so "none" is not exactly INT64_MAX.
std::optional<uint64_t> LimitOf(uint64_t value) {
  if (value >= uint64_t{1} << 62) return std::nullopt;
  return value;
}

// memory.stat of either version; both write what v1 calls total_* for the group and all below it.
struct MemoryStat {
  uint64_t anon = 0, file = 0, mapped = 0, inactive_file = 0, faults = 0, major_faults = 0;
  uint64_t kernel = 0;                                // v2, since Linux 5.18
  uint64_t swap = 0, limit = 0, limit_with_swap = 0;  // v1
  bool counts_swap = false;                           // v1
};

Result<MemoryStat> ReadMemoryStat(std::string_view text, bool v2) {
  MemoryStat stat;
  TRY(ParseFlatKeyed(text, [&](std::string_view key, uint64_t value) {
    if (key == (v2 ? "anon" : "total_rss")) stat.anon = value;
    if (key == (v2 ? "file" : "total_cache")) stat.file = value;
    if (key == (v2 ? "file_mapped" : "total_mapped_file")) stat.mapped = value;
    if (key == (v2 ? "inactive_file" : "total_inactive_file")) stat.inactive_file = value;
    if (key == (v2 ? "pgfault" : "total_pgfault")) stat.faults = value;
    if (key == (v2 ? "pgmajfault" : "total_pgmajfault")) stat.major_faults = value;
    if (v2 && key == "kernel") stat.kernel = value;
    if (v2) return;
    if (key == "hierarchical_memory_limit") stat.limit = value;
    if (key == "hierarchical_memsw_limit") stat.limit_with_swap = value;
    if (key == "total_swap") {
      stat.swap = value;
      stat.counts_swap = true;
    }
  }));
  return stat;
}

}  // namespace

// An absent file has no text.
Result<std::string> CgroupMeter::Text(File file) const {
  if (!files_[file]) return std::string();
  return ReadFile(files_[file], file == kPids);
}

Result<std::optional<uint64_t>> CgroupMeter::Number(File file) const {
  if (!files_[file]) return std::optional<uint64_t>();
  return ParseCgroupNumber(TRY(ReadFile(files_[file], false)));
}

Result<std::optional<Pressure>> CgroupMeter::ReadPressure(File file) const {
  if (!files_[file]) return std::optional<Pressure>();
  auto text = ReadFile(files_[file], false);
  // The kernel has it, but it was not switched on (psi=1).
  if (!text && text.error().sys_errno() == EOPNOTSUPP) return std::optional<Pressure>();
  if (!text) return std::move(text.error());
  return std::optional<Pressure>(TRY(ParsePressure(*text)));
}

Result<> CgroupMeter::ReadCpu(CgroupDetail detail, CgroupUsage& usage) const {
  CgroupCpu cpu;
  if (v2_) {
    if (!files_[kCpuStat]) return Ok();
    TRY(ParseFlatKeyed(TRY(Text(kCpuStat)), [&](std::string_view key, uint64_t value) {
      if (key == "usage_usec") cpu.usage_ns = value * 1000;
      if (key == "user_usec") cpu.user_ns = value * 1000;
      if (key == "system_usec") cpu.system_ns = value * 1000;
      if (key == "nr_periods") cpu.periods = value;
      if (key == "nr_throttled") cpu.throttled_periods = value;
      if (key == "throttled_usec") cpu.throttled_ns = value * 1000;
    }));
    cpu.pressure = TRY(ReadPressure(kCpuPressure));
    usage.cpu = cpu;
    return Ok();
  }
  const std::optional<uint64_t> total = TRY(Number(kCpuUsage));
  if (!total) return Ok();
  cpu.usage_ns = *total;
  if (detail == CgroupDetail::kAll) {
    TRY(ParseFlatKeyed(TRY(Text(kCpuStat)), [&](std::string_view key, uint64_t value) {
      if (key == "nr_periods") cpu.periods = value;
      if (key == "nr_throttled") cpu.throttled_periods = value;
      if (key == "throttled_time") cpu.throttled_ns = value;
    }));
    const auto tick_ns = static_cast<uint64_t>(1'000'000'000 / ::sysconf(_SC_CLK_TCK));
    TRY(ParseFlatKeyed(TRY(Text(kCpuTimes)), [&](std::string_view key, uint64_t value) {
      if (key == "user") cpu.user_ns = value * tick_ns;
      if (key == "system") cpu.system_ns = value * tick_ns;
    }));
  }
  usage.cpu = cpu;
  return Ok();
}

Result<> CgroupMeter::ReadMemory(CgroupDetail detail, CgroupUsage& usage) const {
  const std::optional<uint64_t> total = TRY(Number(kMemoryUsage));
  if (!total) return Ok();
  const MemoryStat stat = TRY(ReadMemoryStat(TRY(Text(kMemoryStat)), v2_));
  CgroupMemory memory;
  memory.usage = *total;
  memory.working_set = stat.inactive_file < *total ? *total - stat.inactive_file : 0;
  memory.rss = stat.anon;
  memory.cache = stat.file;
  memory.mapped_file = stat.mapped;
  memory.page_faults = stat.faults;
  memory.major_page_faults = stat.major_faults;
  memory.kernel = stat.kernel;
  if (v2_) {
    memory.limit = TRY(Number(kMemoryLimit));
    memory.swap = TRY(Number(kSwap));
    if (memory.swap) memory.swap_limit = TRY(Number(kSwapLimit));
    memory.pressure = TRY(ReadPressure(kMemoryPressure));
  } else {
    memory.limit = LimitOf(stat.limit);
    if (stat.counts_swap) memory.swap = stat.swap;
    const std::optional<uint64_t> both = LimitOf(stat.limit_with_swap);
    if (memory.swap && memory.limit && both && *both >= *memory.limit)
      memory.swap_limit = *both - *memory.limit;
  }
  if (detail == CgroupDetail::kAll) TRY(ReadMemoryDetail(memory));
  usage.memory = memory;
  return Ok();
}

Result<> CgroupMeter::ReadMemoryDetail(CgroupMemory& memory) const {
  memory.max_usage = TRY(Number(kMemoryMax));
  const std::optional<uint64_t> reservation = TRY(Number(kMemoryReservation));
  if (reservation) memory.reservation = LimitOf(*reservation).value_or(0);
  TRY(ParseFlatKeyed(TRY(Text(kMemoryEvents)), [&](std::string_view key, uint64_t value) {
    if (key == "oom_kill") memory.oom_kills = value;
    if (key == "max") memory.limit_hits = value;  // v2
  }));
  if (v2_) return Ok();
  memory.kernel = TRY(Number(kMemoryKernel)).value_or(0);
  memory.limit_hits = TRY(Number(kMemoryHits)).value_or(0);
  return Ok();
}

Result<> CgroupMeter::ReadRest(CgroupUsage& usage) const {
  usage.tasks_limit = TRY(Number(kTasksLimit));
  if (v2_)
    usage.io = TRY(ParseIoStat(TRY(Text(kIo))));
  else
    usage.io = TRY(ParseBlkio(TRY(Text(kIo)), TRY(Text(kIoOperations))));
  usage.pids = TRY(ParsePids(TRY(Text(kPids))));
  for (const Huge& huge : huge_) {
    CgroupHugetlb pages;
    pages.page_size = huge.size;
    pages.usage = TRY(ParseCgroupNumber(TRY(ReadFile(huge.usage, false)))).value_or(0);
    if (huge.max_usage)
      pages.max_usage = TRY(ParseCgroupNumber(TRY(ReadFile(huge.max_usage, false))));
    usage.hugetlb.push_back(std::move(pages));
  }
  return Ok();
}

Result<CgroupUsage> CgroupMeter::ReadOpen(CgroupDetail detail) const {
  CgroupUsage usage;
  TRY(ReadCpu(detail, usage));
  TRY(ReadMemory(detail, usage));
  usage.tasks = TRY(Number(kTasks));
  usage.io_pressure = TRY(ReadPressure(kIoPressure));
  if (detail == CgroupDetail::kAll) TRY(ReadRest(usage));
  return usage;
}

}  // namespace berth::os
