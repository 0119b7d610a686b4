// SPDX-License-Identifier: Apache-2.0
// The metrics that a kubelet serves as /metrics/cadvisor: names, help and labels as cAdvisor has them, so that
// dashboards go on working. One static table; values are made of it purely. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pod/stats.h"
#include "pod/types.h"

namespace berth::pod {

enum class MetricType { kCounter = 0, kGauge = 1 };

// In the order of MetricDescriptors().
enum class MetricId : size_t {
  kLastSeen,
  kStartTime,
  kCpuUser,
  kCpuSystem,
  kCpuUsage,
  kCfsPeriods,
  kCfsThrottledPeriods,
  kCfsThrottledSeconds,
  kMemoryCache,
  kMemoryRss,
  kMemoryKernel,
  kMemoryMappedFile,
  kMemorySwap,
  kMemoryFailcnt,
  kMemoryUsage,
  kMemoryMaxUsage,
  kMemoryWorkingSet,
  kMemoryFailures,
  kOomEvents,
  kFsInodesFree,
  kFsInodesTotal,
  kFsLimit,
  kFsUsage,
  kFsReadBytes,
  kFsReads,
  kFsWriteBytes,
  kFsWrites,
  kBlkioUsage,
  kHugetlbUsage,
  kHugetlbMaxUsage,
  kNetRxBytes,
  kNetRxPackets,
  kNetRxDropped,
  kNetRxErrors,
  kNetTxBytes,
  kNetTxPackets,
  kNetTxDropped,
  kNetTxErrors,
  kProcesses,
  kFileDescriptors,
  kSockets,
  kThreads,
  kThreadsMax,
  kUlimitsSoft,
  kSpecCpuPeriod,
  kSpecCpuQuota,
  kSpecCpuShares,
  kSpecMemoryLimit,
  kSpecMemoryReservation,
  kSpecMemorySwapLimit,
  kPressureCpuWaiting,
  kPressureCpuStalled,
  kPressureMemoryWaiting,
  kPressureMemoryStalled,
  kPressureIoWaiting,
  kPressureIoStalled,
};

struct MetricDescriptor {
  MetricId id;
  const char* name;
  const char* help;
  MetricType type;
  std::vector<std::string> extra_labels;  // after BaseMetricLabels()
};
const std::vector<MetricDescriptor>& MetricDescriptors();
const MetricDescriptor& DescriptorOf(MetricId id);
const std::vector<std::string>& BaseMetricLabels();

struct Metric {
  MetricId id;
  std::vector<std::string> extra_values;  // one for each of the descriptor's
  uint64_t value = 0;                     // CRI's are whole numbers, seconds too
};
struct MetricSet {
  std::string id;                        // of the pod or container
  std::vector<std::string> base_values;  // one for each of BaseMetricLabels()
  std::vector<Metric> metrics;
};
struct SandboxMetrics {
  MetricSet pod;  // its network
  std::vector<MetricSet> containers;
};

struct BlockDevice {
  os::DeviceIo io;
  std::string name;
};
struct ContainerMetricsInput {
  runtime::Usage usage;
  int64_t started_at = 0;
  std::optional<LinuxResources> resources;
  std::optional<image::RootfsUsage> files;
  std::optional<image::StoreCapacity> store;
  std::string store_device;
  std::optional<runtime::ProcessCounts> processes;
  std::vector<BlockDevice> io;
};
std::vector<Metric> MakeContainerMetrics(const ContainerMetricsInput& in);
std::vector<Metric> MakeNetworkMetrics(const runtime::NetworkUsage& network);

}  // namespace berth::pod
