// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"
#include "pod/metrics.h"

namespace berth::pod {

namespace {
using Id = MetricId;
constexpr MetricType kCounter = MetricType::kCounter;
constexpr MetricType kGauge = MetricType::kGauge;
}  // namespace

const std::vector<std::string>& BaseMetricLabels() {
  static const std::vector<std::string> labels = {"id",        "name", "image",
                                                  "namespace", "pod",  "container"};
  return labels;
}

const std::vector<MetricDescriptor>& MetricDescriptors() {
  // clang-format off
  static const std::vector<MetricDescriptor> table = {
      {Id::kLastSeen, "container_last_seen", "Unix time of the last reading, in seconds.", kGauge, {}},
      {Id::kStartTime, "container_start_time_seconds", "Unix time of the container's start, in seconds.", kGauge, {}},
      {Id::kCpuUser, "container_cpu_user_seconds_total", "CPU time used in user mode, in seconds.", kCounter, {}},
      {Id::kCpuSystem, "container_cpu_system_seconds_total", "CPU time used in the kernel, in seconds.", kCounter, {}},
      {Id::kCpuUsage, "container_cpu_usage_seconds_total", "CPU time used, in seconds.", kCounter, {"cpu"}},
      {Id::kCfsPeriods, "container_cpu_cfs_periods_total", "Periods in which the CPU quota was enforced.", kCounter, {}},
      {Id::kCfsThrottledPeriods, "container_cpu_cfs_throttled_periods_total", "Periods in which the CPU quota ran out.", kCounter, {}},
      {Id::kCfsThrottledSeconds, "container_cpu_cfs_throttled_seconds_total", "Time spent waiting for CPU quota, in seconds.", kCounter, {}},
      {Id::kMemoryCache, "container_memory_cache", "Page cache, in bytes.", kGauge, {}},
      {Id::kMemoryRss, "container_memory_rss", "Anonymous memory, in bytes.", kGauge, {}},
      {Id::kMemoryKernel, "container_memory_kernel_usage", "Kernel memory, in bytes.", kGauge, {}},
      {Id::kMemoryMappedFile, "container_memory_mapped_file", "Files mapped into memory, in bytes.", kGauge, {}},
      {Id::kMemorySwap, "container_memory_swap", "Swap in use, in bytes.", kGauge, {}},
      {Id::kMemoryFailcnt, "container_memory_failcnt", "Times that memory use met its limit.", kCounter, {}},
      {Id::kMemoryUsage, "container_memory_usage_bytes", "Memory in use, page cache included, in bytes.", kGauge, {}},
      {Id::kMemoryMaxUsage, "container_memory_max_usage_bytes", "The most memory that was ever in use, in bytes.", kGauge, {}},
      {Id::kMemoryWorkingSet, "container_memory_working_set_bytes", "Memory in use without inactive page cache, in bytes.", kGauge, {}},
      {Id::kMemoryFailures, "container_memory_failures_total", "Page faults.", kCounter, {"failure_type", "scope"}},
      {Id::kOomEvents, "container_oom_events_total", "Processes killed because memory ran out.", kCounter, {}},
      {Id::kFsInodesFree, "container_fs_inodes_free", "Free inodes of the container's file system.", kGauge, {"device"}},
      {Id::kFsInodesTotal, "container_fs_inodes_total", "Inodes of the container's file system.", kGauge, {"device"}},
      {Id::kFsLimit, "container_fs_limit_bytes", "Size of the container's file system, in bytes.", kGauge, {"device"}},
      {Id::kFsUsage, "container_fs_usage_bytes", "What the container's own files take, in bytes.", kGauge, {"device"}},
      {Id::kFsReadBytes, "container_fs_reads_bytes_total", "Bytes read.", kCounter, {"device"}},
      {Id::kFsReads, "container_fs_reads_total", "Reads completed.", kCounter, {"device"}},
      {Id::kFsWriteBytes, "container_fs_writes_bytes_total", "Bytes written.", kCounter, {"device"}},
      {Id::kFsWrites, "container_fs_writes_total", "Writes completed.", kCounter, {"device"}},
      {Id::kBlkioUsage, "container_blkio_device_usage_total", "Bytes moved, by device and operation.", kCounter, {"device", "major", "minor", "operation"}},
      {Id::kHugetlbUsage, "container_hugetlb_usage_bytes", "Huge pages in use, in bytes.", kGauge, {"pagesize"}},
      {Id::kHugetlbMaxUsage, "container_hugetlb_max_usage_bytes", "The most huge pages that were ever in use, in bytes.", kGauge, {"pagesize"}},
      {Id::kNetRxBytes, "container_network_receive_bytes_total", "Bytes received.", kCounter, {"interface"}},
      {Id::kNetRxPackets, "container_network_receive_packets_total", "Packets received.", kCounter, {"interface"}},
      {Id::kNetRxDropped, "container_network_receive_packets_dropped_total", "Packets dropped while receiving.", kCounter, {"interface"}},
      {Id::kNetRxErrors, "container_network_receive_errors_total", "Errors while receiving.", kCounter, {"interface"}},
      {Id::kNetTxBytes, "container_network_transmit_bytes_total", "Bytes sent.", kCounter, {"interface"}},
      {Id::kNetTxPackets, "container_network_transmit_packets_total", "Packets sent.", kCounter, {"interface"}},
      {Id::kNetTxDropped, "container_network_transmit_packets_dropped_total", "Packets dropped while sending.", kCounter, {"interface"}},
      {Id::kNetTxErrors, "container_network_transmit_errors_total", "Errors while sending.", kCounter, {"interface"}},
      {Id::kProcesses, "container_processes", "Processes in the container.", kGauge, {}},
      {Id::kFileDescriptors, "container_file_descriptors", "Open descriptors of the container's processes.", kGauge, {}},
      {Id::kSockets, "container_sockets", "Open sockets of the container's processes.", kGauge, {}},
      {Id::kThreads, "container_threads", "Threads in the container.", kGauge, {}},
      {Id::kThreadsMax, "container_threads_max", "Threads allowed in the container; 0: any number.", kGauge, {}},
      {Id::kUlimitsSoft, "container_ulimits_soft", "Soft limits of the container's first process.", kGauge, {"ulimit"}},
      {Id::kSpecCpuPeriod, "container_spec_cpu_period", "CPU period asked for, in microseconds.", kGauge, {}},
      {Id::kSpecCpuQuota, "container_spec_cpu_quota", "CPU quota asked for, in microseconds.", kGauge, {}},
      {Id::kSpecCpuShares, "container_spec_cpu_shares", "CPU shares asked for.", kGauge, {}},
      {Id::kSpecMemoryLimit, "container_spec_memory_limit_bytes", "Memory limit asked for, in bytes; 0: none.", kGauge, {}},
      {Id::kSpecMemoryReservation, "container_spec_memory_reservation_limit_bytes", "Memory reserved, in bytes; 0: none.", kGauge, {}},
      {Id::kSpecMemorySwapLimit, "container_spec_memory_swap_limit_bytes", "Limit of memory and swap asked for, in bytes; 0: none.", kGauge, {}},
      {Id::kPressureCpuWaiting, "container_pressure_cpu_waiting_seconds_total", "Time in which a task waited for a CPU, in seconds.", kCounter, {}},
      {Id::kPressureCpuStalled, "container_pressure_cpu_stalled_seconds_total", "Time in which every task waited for a CPU, in seconds.", kCounter, {}},
      {Id::kPressureMemoryWaiting, "container_pressure_memory_waiting_seconds_total", "Time in which a task waited for memory, in seconds.", kCounter, {}},
      {Id::kPressureMemoryStalled, "container_pressure_memory_stalled_seconds_total", "Time in which every task waited for memory, in seconds.", kCounter, {}},
      {Id::kPressureIoWaiting, "container_pressure_io_waiting_seconds_total", "Time in which a task waited for I/O, in seconds.", kCounter, {}},
      {Id::kPressureIoStalled, "container_pressure_io_stalled_seconds_total", "Time in which every task waited for I/O, in seconds.", kCounter, {}},
  };
  // clang-format on
  return table;
}

const MetricDescriptor& DescriptorOf(MetricId id) {
  return MetricDescriptors()[static_cast<size_t>(id)];
}

}  // namespace berth::pod
