// SPDX-License-Identifier: Apache-2.0
#include "pod/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

using ::testing::ElementsAre;

// The names that critest (cri-tools, pkg/validate/pod.go) asks for, and the kubelet's users know from cAdvisor.
const std::set<std::string> kNames = {"container_blkio_device_usage_total",
                                      "container_cpu_cfs_periods_total",
                                      "container_cpu_cfs_throttled_periods_total",
                                      "container_cpu_cfs_throttled_seconds_total",
                                      "container_cpu_system_seconds_total",
                                      "container_cpu_usage_seconds_total",
                                      "container_cpu_user_seconds_total",
                                      "container_file_descriptors",
                                      "container_fs_inodes_free",
                                      "container_fs_inodes_total",
                                      "container_fs_limit_bytes",
                                      "container_fs_reads_bytes_total",
                                      "container_fs_reads_total",
                                      "container_fs_usage_bytes",
                                      "container_fs_writes_bytes_total",
                                      "container_fs_writes_total",
                                      "container_hugetlb_max_usage_bytes",
                                      "container_hugetlb_usage_bytes",
                                      "container_last_seen",
                                      "container_memory_cache",
                                      "container_memory_failcnt",
                                      "container_memory_failures_total",
                                      "container_memory_kernel_usage",
                                      "container_memory_mapped_file",
                                      "container_memory_max_usage_bytes",
                                      "container_memory_rss",
                                      "container_memory_swap",
                                      "container_memory_usage_bytes",
                                      "container_memory_working_set_bytes",
                                      "container_network_receive_bytes_total",
                                      "container_network_receive_errors_total",
                                      "container_network_receive_packets_dropped_total",
                                      "container_network_receive_packets_total",
                                      "container_network_transmit_bytes_total",
                                      "container_network_transmit_errors_total",
                                      "container_network_transmit_packets_dropped_total",
                                      "container_network_transmit_packets_total",
                                      "container_oom_events_total",
                                      "container_pressure_cpu_stalled_seconds_total",
                                      "container_pressure_cpu_waiting_seconds_total",
                                      "container_pressure_io_stalled_seconds_total",
                                      "container_pressure_io_waiting_seconds_total",
                                      "container_pressure_memory_stalled_seconds_total",
                                      "container_pressure_memory_waiting_seconds_total",
                                      "container_processes",
                                      "container_sockets",
                                      "container_spec_cpu_period",
                                      "container_spec_cpu_quota",
                                      "container_spec_cpu_shares",
                                      "container_spec_memory_limit_bytes",
                                      "container_spec_memory_reservation_limit_bytes",
                                      "container_spec_memory_swap_limit_bytes",
                                      "container_start_time_seconds",
                                      "container_threads",
                                      "container_threads_max",
                                      "container_ulimits_soft"};

TEST(Metrics, TheTableHasEveryNameOnceAndInTheOrderOfTheIds) {
  std::set<std::string> names;
  for (size_t i = 0; i < MetricDescriptors().size(); ++i) {
    const MetricDescriptor& descriptor = MetricDescriptors()[i];
    EXPECT_EQ(static_cast<size_t>(descriptor.id), i) << descriptor.name;
    EXPECT_TRUE(names.insert(descriptor.name).second) << descriptor.name;
    EXPECT_STRNE(descriptor.help, "");
  }
  EXPECT_EQ(names, kNames);
  EXPECT_EQ(&DescriptorOf(MetricId::kPressureIoStalled), &MetricDescriptors().back());
}

// Everything that a kernel can tell.
ContainerMetricsInput Everything() {
  ContainerMetricsInput in;
  in.usage.timestamp = 1'700'000'000'500'000'000;
  in.started_at = 1'600'000'000'000'000'000;
  os::CgroupUsage& group = in.usage.group;
  group.cpu.emplace();
  group.cpu->usage_ns = 7'900'000'000;
  group.cpu->throttled_ns = 2'000'000'000;
  group.cpu->pressure.emplace().some.total_us = 3'000'000;
  group.memory.emplace();
  group.memory->page_faults = 5;
  group.memory->swap = 1;
  group.memory->max_usage = 2;
  group.memory->pressure.emplace();
  group.io_pressure.emplace();
  group.tasks = 4;
  group.pids = {1, 2, 3};
  group.hugetlb = {{"2MB", 2097152, 4194304}};
  in.processes = runtime::ProcessCounts{20, 6, 1024};
  in.files = image::RootfsUsage{1, "/m", 8192, 3};
  in.store = image::StoreCapacity{1000, 100, 90, 8, 1};
  in.store_device = "/dev/sda1";
  in.resources.emplace().cpu_quota = 20000;
  in.resources->cpu_period = 100000;
  in.resources->memory_limit = -1;
  in.io = {{{8, 0, 4096, 8192, 1, 2}, "/dev/sda"}};
  return in;
}

std::multimap<MetricId, Metric> ById(const std::vector<Metric>& metrics) {
  std::multimap<MetricId, Metric> out;
  for (const Metric& metric : metrics) out.emplace(metric.id, metric);
  return out;
}

TEST(Metrics, EveryIdHasAValueAndAsManyLabelsAsItsDescriptor) {
  std::vector<Metric> metrics = MakeContainerMetrics(Everything());
  for (Metric& metric : MakeNetworkMetrics({1, {{.name = "eth0"}}})) metrics.push_back(metric);
  std::set<MetricId> seen;
  std::set<std::pair<MetricId, std::vector<std::string>>> series;
  for (const Metric& metric : metrics) {
    seen.insert(metric.id);
    EXPECT_EQ(metric.extra_values.size(), DescriptorOf(metric.id).extra_labels.size())
        << DescriptorOf(metric.id).name;
    // Prometheus refuses the whole answer when one series comes twice.
    EXPECT_TRUE(series.emplace(metric.id, metric.extra_values).second)
        << DescriptorOf(metric.id).name;
  }
  EXPECT_EQ(seen.size(), MetricDescriptors().size());
}

TEST(Metrics, Values) {
  auto metrics = ById(MakeContainerMetrics(Everything()));
  auto value = [&](MetricId id) { return metrics.find(id)->second.value; };
  EXPECT_EQ(value(MetricId::kLastSeen), 1'700'000'000U);
  EXPECT_EQ(value(MetricId::kStartTime), 1'600'000'000U);
  EXPECT_EQ(value(MetricId::kCpuUsage), 7U);
  EXPECT_EQ(value(MetricId::kCfsThrottledSeconds), 2U);
  EXPECT_EQ(value(MetricId::kPressureCpuWaiting), 3U);
  EXPECT_EQ(value(MetricId::kProcesses), 3U);
  EXPECT_EQ(value(MetricId::kThreads), 4U);
  EXPECT_EQ(value(MetricId::kThreadsMax), 0U);
  EXPECT_EQ(value(MetricId::kFsUsage), 8192U);
  EXPECT_EQ(value(MetricId::kSpecMemoryLimit), 0U);
  EXPECT_THAT(metrics.find(MetricId::kUlimitsSoft)->second.extra_values,
              ElementsAre("max_open_files"));
  EXPECT_THAT(metrics.find(MetricId::kBlkioUsage)->second.extra_values,
              ElementsAre("/dev/sda", "8", "0", "Read"));
}

TEST(Metrics, WhatTheKernelDoesNotTellHasNoSeries) {
  ContainerMetricsInput in;
  in.usage.group.cpu.emplace();
  auto metrics = ById(MakeContainerMetrics(in));
  for (MetricId id :
       {MetricId::kCfsPeriods, MetricId::kMemoryUsage, MetricId::kFsUsage, MetricId::kHugetlbUsage,
        MetricId::kProcesses, MetricId::kSpecCpuQuota, MetricId::kPressureCpuWaiting})
    EXPECT_FALSE(metrics.contains(id)) << DescriptorOf(id).name;
  EXPECT_TRUE(metrics.contains(MetricId::kCpuUsage));
}

TEST(Metrics, OfPodsThroughTheEngine) {
  World world;
  const auto [pod, id] = world.Running();
  os::CgroupUsage group;
  group.cpu.emplace().usage_ns = 3'000'000'000;
  group.pids = {1, 2};
  group.io = {{8, 0, 1, 2, 3, 4}};
  world.stats.SetGroup(StrCat("/berth/", pod, "/", id), group);
  world.stats.SetNetwork(pod, {{.name = "eth0", .rx_bytes = 77}});
  world.stats.SetProcesses({.file_descriptors = 5, .sockets = 1, .max_open_files = {}});
  auto all = world.engine->ListPodSandboxMetrics();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_THAT(all[0].pod.base_values,
              ElementsAre(StrCat("/berth/", pod), pod, "", "default", "web", ""));
  EXPECT_EQ(ById(all[0].pod.metrics).find(MetricId::kNetRxBytes)->second.value, 77U);
  ASSERT_EQ(all[0].containers.size(), 1U);
  const MetricSet& set = all[0].containers[0];
  EXPECT_EQ(set.id, id);
  EXPECT_THAT(set.base_values,
              ElementsAre(StrCat("/berth/", pod, "/", id), id, "docker.io/library/busybox:latest",
                          "default", "web", "app"));
  EXPECT_EQ(set.base_values.size(), BaseMetricLabels().size());
  auto metrics = ById(set.metrics);
  EXPECT_EQ(metrics.find(MetricId::kFileDescriptors)->second.value, 5U);
  EXPECT_THAT(metrics.find(MetricId::kFsUsage)->second.extra_values, ElementsAre("/dev/fake8-1"));
  EXPECT_THAT(metrics.find(MetricId::kFsReads)->second.extra_values, ElementsAre("/dev/fake8-0"));
}

}  // namespace
}  // namespace berth::pod
