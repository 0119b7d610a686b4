// SPDX-License-Identifier: Apache-2.0
#include "pod/metrics.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace berth::pod {

namespace {

using Id = MetricId;

class Builder {
 public:
  void Add(Id id, uint64_t value, std::vector<std::string> extra = {}) {
    metrics_.push_back({id, std::move(extra), value});
  }
  void AddSeconds(Id id, uint64_t nanoseconds, std::vector<std::string> extra = {}) {
    Add(id, nanoseconds / 1'000'000'000, std::move(extra));
  }
  void AddPressure(Id waiting, Id stalled, const std::optional<os::Pressure>& pressure) {
    if (!pressure) return;
    Add(waiting, pressure->some.total_us / 1'000'000);
    Add(stalled, pressure->full.total_us / 1'000'000);
  }
  std::vector<Metric> Take() { return std::move(metrics_); }

 private:
  std::vector<Metric> metrics_;
};

// Negative values stand for "no limit".
uint64_t LimitOrZero(int64_t value) { return static_cast<uint64_t>(std::max<int64_t>(value, 0)); }

void AddCpu(const os::CgroupCpu& cpu, bool limited, Builder& out) {
  out.AddSeconds(Id::kCpuUser, cpu.user_ns);
  out.AddSeconds(Id::kCpuSystem, cpu.system_ns);
  out.AddSeconds(Id::kCpuUsage, cpu.usage_ns, {"total"});
  out.AddPressure(Id::kPressureCpuWaiting, Id::kPressureCpuStalled, cpu.pressure);
  if (!limited) return;
  out.Add(Id::kCfsPeriods, cpu.periods);
  out.Add(Id::kCfsThrottledPeriods, cpu.throttled_periods);
  out.AddSeconds(Id::kCfsThrottledSeconds, cpu.throttled_ns);
}

void AddMemory(const os::CgroupMemory& memory, Builder& out) {
  out.Add(Id::kMemoryCache, memory.cache);
  out.Add(Id::kMemoryRss, memory.rss);
  out.Add(Id::kMemoryKernel, memory.kernel);
  out.Add(Id::kMemoryMappedFile, memory.mapped_file);
  if (memory.swap) out.Add(Id::kMemorySwap, *memory.swap);
  out.Add(Id::kMemoryFailcnt, memory.limit_hits);
  out.Add(Id::kMemoryUsage, memory.usage);
  if (memory.max_usage) out.Add(Id::kMemoryMaxUsage, *memory.max_usage);
  out.Add(Id::kMemoryWorkingSet, memory.working_set);
  for (const char* scope : {"container", "hierarchy"}) {
    out.Add(Id::kMemoryFailures, memory.page_faults, {"pgfault", scope});
    out.Add(Id::kMemoryFailures, memory.major_page_faults, {"pgmajfault", scope});
  }
  out.Add(Id::kOomEvents, memory.oom_kills);
  out.Add(Id::kSpecMemoryReservation, memory.reservation);
  out.AddPressure(Id::kPressureMemoryWaiting, Id::kPressureMemoryStalled, memory.pressure);
}

void AddDisk(const ContainerMetricsInput& in, Builder& out) {
  if (in.store) {
    out.Add(Id::kFsInodesFree, in.store->free_inodes, {in.store_device});
    out.Add(Id::kFsInodesTotal, in.store->inodes, {in.store_device});
    out.Add(Id::kFsLimit, in.store->bytes, {in.store_device});
  }
  if (in.files) out.Add(Id::kFsUsage, in.files->used_bytes, {in.store_device});
  for (const auto& [io, name] : in.io) {
    out.Add(Id::kFsReadBytes, io.read_bytes, {name});
    out.Add(Id::kFsReads, io.reads, {name});
    out.Add(Id::kFsWriteBytes, io.write_bytes, {name});
    out.Add(Id::kFsWrites, io.writes, {name});
    for (const auto& [operation, bytes] :
         {std::pair("Read", io.read_bytes), std::pair("Write", io.write_bytes)})
      out.Add(Id::kBlkioUsage, bytes, {name, StrCat(io.major), StrCat(io.minor), operation});
  }
}

void AddProcesses(const ContainerMetricsInput& in, Builder& out) {
  const os::CgroupUsage& group = in.usage.group;
  if (in.processes) {
    out.Add(Id::kProcesses, group.pids.size());
    out.Add(Id::kFileDescriptors, in.processes->file_descriptors);
    out.Add(Id::kSockets, in.processes->sockets);
    if (in.processes->max_open_files)
      out.Add(Id::kUlimitsSoft, *in.processes->max_open_files, {"max_open_files"});
  }
  if (!group.tasks) return;
  out.Add(Id::kThreads, *group.tasks);
  out.Add(Id::kThreadsMax, group.tasks_limit.value_or(0));
}

void AddSpec(const LinuxResources& resources, Builder& out) {
  out.Add(Id::kSpecCpuPeriod, LimitOrZero(resources.cpu_period));
  out.Add(Id::kSpecCpuShares, LimitOrZero(resources.cpu_shares));
  if (resources.cpu_quota > 0)
    out.Add(Id::kSpecCpuQuota, static_cast<uint64_t>(resources.cpu_quota));
  out.Add(Id::kSpecMemoryLimit, LimitOrZero(resources.memory_limit));
  out.Add(Id::kSpecMemorySwapLimit, LimitOrZero(resources.memory_swap_limit));
}

}  // namespace

std::vector<Metric> MakeContainerMetrics(const ContainerMetricsInput& in) {
  Builder out;
  const os::CgroupUsage& group = in.usage.group;
  out.AddSeconds(Id::kLastSeen, static_cast<uint64_t>(in.usage.timestamp));
  out.AddSeconds(Id::kStartTime, LimitOrZero(in.started_at));
  const bool limited = in.resources && in.resources->cpu_quota > 0;
  if (group.cpu) AddCpu(*group.cpu, limited || group.cpu->periods > 0, out);
  if (group.memory) AddMemory(*group.memory, out);
  AddDisk(in, out);
  for (const os::CgroupHugetlb& pages : group.hugetlb) {
    out.Add(Id::kHugetlbUsage, pages.usage, {pages.page_size});
    if (pages.max_usage) out.Add(Id::kHugetlbMaxUsage, *pages.max_usage, {pages.page_size});
  }
  AddProcesses(in, out);
  AddSpec(in.resources.value_or(LinuxResources{}), out);
  out.AddPressure(Id::kPressureIoWaiting, Id::kPressureIoStalled, group.io_pressure);
  return out.Take();
}

std::vector<Metric> MakeNetworkMetrics(const runtime::NetworkUsage& network) {
  Builder out;
  for (const runtime::InterfaceUsage& link : network.interfaces) {
    out.Add(Id::kNetRxBytes, link.rx_bytes, {link.name});
    out.Add(Id::kNetRxPackets, link.rx_packets, {link.name});
    out.Add(Id::kNetRxDropped, link.rx_dropped, {link.name});
    out.Add(Id::kNetRxErrors, link.rx_errors, {link.name});
    out.Add(Id::kNetTxBytes, link.tx_bytes, {link.name});
    out.Add(Id::kNetTxPackets, link.tx_packets, {link.name});
    out.Add(Id::kNetTxDropped, link.tx_dropped, {link.name});
    out.Add(Id::kNetTxErrors, link.tx_errors, {link.name});
  }
  return out.Take();
}

}  // namespace berth::pod
