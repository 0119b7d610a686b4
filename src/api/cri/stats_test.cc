// SPDX-License-Identifier: Apache-2.0
// Statistics and metrics as the CRI's messages, and the handlers over the engine's fakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "api/cri/convert_stats.h"
#include "api/cri/handlers.h"
#include "api/cri/testing/server_fixture.h"
#include "pod/testing/engine_world.h"

namespace berth::api {
namespace {

using ::testing::ElementsAre;

runtime::Usage FullUsage() {
  runtime::Usage usage;
  usage.timestamp = 77;
  usage.nano_cores = 5;
  usage.group.cpu.emplace().usage_ns = 9;
  usage.group.cpu->pressure = os::Pressure{{.total_us = 2, .avg10 = 1.5}, {.total_us = 1}};
  os::CgroupMemory& memory = usage.group.memory.emplace();
  memory.usage = 100;
  memory.working_set = 60;
  memory.limit = 200;
  memory.rss = 50;
  memory.swap = 3;
  memory.swap_limit = 10;
  usage.group.io_pressure.emplace();
  usage.group.tasks = 4;
  return usage;
}

TEST(ConvertStats, Rule22AContainerWithItsLabelsAndAnnotations) {
  pod::ContainerStats in;
  in.id = "c";
  in.metadata = {"app", 2};
  in.labels = {{"a", "b"}};
  in.annotations = {{"x", "y"}};
  in.usage = FullUsage();
  in.files = image::RootfsUsage{88, "/var/lib/berth/images", 4096, 7};
  v1::ContainerStats out;
  ToProto(in, &out);
  EXPECT_EQ(out.attributes().id(), "c");
  EXPECT_EQ(out.attributes().metadata().attempt(), 2U);
  EXPECT_EQ(out.attributes().labels().at("a"), "b");
  EXPECT_EQ(out.attributes().annotations().at("x"), "y");
  EXPECT_EQ(out.cpu().timestamp(), 77);
  EXPECT_EQ(out.cpu().usage_core_nano_seconds().value(), 9U);
  EXPECT_EQ(out.cpu().usage_nano_cores().value(), 5U);
  EXPECT_EQ(out.cpu().psi().some().total(), 2000U);  // nanoseconds
  EXPECT_DOUBLE_EQ(out.cpu().psi().some().avg10(), 1.5);
  EXPECT_EQ(out.memory().working_set_bytes().value(), 60U);
  EXPECT_EQ(out.memory().available_bytes().value(), 140U);
  EXPECT_EQ(out.swap().swap_available_bytes().value(), 7U);
  EXPECT_EQ(out.io().timestamp(), 77);
  EXPECT_EQ(out.writable_layer().fs_id().mountpoint(), "/var/lib/berth/images");
  EXPECT_EQ(out.writable_layer().used_bytes().value(), 4096U);
  EXPECT_EQ(out.writable_layer().inodes_used().value(), 7U);
}

TEST(ConvertStats, WhatIsNotKnownIsNotSaid) {
  pod::ContainerStats in;
  in.usage.emplace().group.memory.emplace().usage = 1;
  v1::ContainerStats out;
  ToProto(in, &out);
  EXPECT_FALSE(out.has_cpu());
  EXPECT_FALSE(out.memory().has_available_bytes());
  EXPECT_FALSE(out.memory().has_psi());
  EXPECT_FALSE(out.has_swap());
  EXPECT_FALSE(out.has_io());
  EXPECT_FALSE(out.has_writable_layer());
  // Above its limit, as after a limit was lowered.
  in.usage->group.memory->working_set = 50;
  in.usage->group.memory->limit = 40;
  ToProto(in, &out);
  EXPECT_EQ(out.memory().available_bytes().value(), 0U);
}

TEST(ConvertStats, APodWithSeveralInterfaces) {
  pod::SandboxStats in;
  in.id = "p";
  in.usage = FullUsage();
  in.network = runtime::NetworkUsage{
      66, {{.name = "net1", .rx_bytes = 1}, {.name = "eth0", .rx_bytes = 2, .tx_errors = 3}}};
  in.containers.resize(2);
  v1::PodSandboxStats out;
  ToProto(in, &out);
  EXPECT_EQ(out.linux().network().timestamp(), 66);
  EXPECT_EQ(out.linux().network().default_interface().name(), "eth0");
  EXPECT_EQ(out.linux().network().default_interface().tx_errors().value(), 3U);
  ASSERT_EQ(out.linux().network().interfaces_size(), 1);
  EXPECT_EQ(out.linux().network().interfaces(0).name(), "net1");
  EXPECT_EQ(out.linux().process().process_count().value(), 4U);
  EXPECT_EQ(out.linux().containers_size(), 2);
}

class StatsHandlers : public ::testing::Test {
 protected:
  StatsHandlers() {
    std::tie(pod_, container_) = world_.Running();
    os::CgroupUsage group = FullUsage().group;
    group.pids = {1};
    group.io = {{8, 0, 1, 2, 3, 4}};
    world_.stats.SetGroup(StrCat("/berth/", pod_, "/", container_), group);
    world_.stats.SetNetwork(pod_, {{.name = "eth0"}});
  }
  pod::World world_;
  FakeSessions sessions_;
  Services services_{*world_.engine, world_.images, world_.runtime, world_.network,
                     sessions_,      world_.clock,  false,          "{}"};
  std::string pod_, container_;
};

TEST_F(StatsHandlers, Rule2UnknownIdsAreNotFound) {
  v1::ContainerStatsRequest container;
  v1::ContainerStatsResponse container_out;
  container.set_container_id("nope");
  pod::ExpectError(ContainerStats(services_, {}, container, &container_out).error(),
                   Code::kNotFound, "container \"nope\" not found");
  v1::PodSandboxStatsRequest pod;
  v1::PodSandboxStatsResponse pod_out;
  pod.set_pod_sandbox_id("nope");
  pod::ExpectError(PodSandboxStats(services_, {}, pod, &pod_out).error(), Code::kNotFound,
                   "pod sandbox \"nope\" not found");
}

TEST_F(StatsHandlers, Rule3ListsTakeFilters) {
  v1::ListContainerStatsRequest request;
  request.mutable_filter()->set_id(container_.substr(0, 10));
  request.mutable_filter()->set_pod_sandbox_id(pod_);
  v1::ListContainerStatsResponse response;
  ASSERT_TRUE(ListContainerStats(services_, {}, request, &response));
  ASSERT_EQ(response.stats_size(), 1);
  EXPECT_EQ(response.stats(0).attributes().id(), container_);
  (*request.mutable_filter()->mutable_label_selector())["no"] = "such";
  v1::ListContainerStatsResponse none;
  ASSERT_TRUE(ListContainerStats(services_, {}, request, &none));
  EXPECT_EQ(none.stats_size(), 0);
  v1::ListPodSandboxStatsRequest pods;
  pods.mutable_filter()->set_id(pod_);
  v1::ListPodSandboxStatsResponse pods_out;
  ASSERT_TRUE(ListPodSandboxStats(services_, {}, pods, &pods_out));
  ASSERT_EQ(pods_out.stats_size(), 1);
  EXPECT_EQ(pods_out.stats(0).linux().containers_size(), 1);
}

TEST_F(StatsHandlers, Rule39LabelValuesAreInTheOrderOfTheKeysAndDescriptorsNeverChange) {
  v1::ListMetricDescriptorsResponse before;
  v1::ListMetricDescriptorsResponse after;
  ASSERT_TRUE(ListMetricDescriptors(services_, {}, {}, &before));
  v1::ListPodSandboxMetricsResponse metrics;
  ASSERT_TRUE(ListPodSandboxMetrics(services_, {}, {}, &metrics));
  ASSERT_TRUE(ListMetricDescriptors(services_, {}, {}, &after));
  EXPECT_EQ(before.SerializeAsString(), after.SerializeAsString());
  std::map<std::string, std::vector<std::string>> keys;
  for (const auto& descriptor : before.descriptors())
    keys[descriptor.name()] = {descriptor.label_keys().begin(), descriptor.label_keys().end()};
  EXPECT_THAT(keys["container_fs_reads_total"],
              ElementsAre("id", "name", "image", "namespace", "pod", "container", "device"));
  ASSERT_EQ(metrics.pod_metrics_size(), 1);
  ASSERT_EQ(metrics.pod_metrics(0).container_metrics_size(), 1);
  std::map<std::string, v1::Metric> found;
  for (const auto& metric : metrics.pod_metrics(0).container_metrics(0).metrics())
    found.emplace(metric.name(), metric);
  for (const auto& metric : metrics.pod_metrics(0).metrics()) found.emplace(metric.name(), metric);
  for (const auto& [name, metric] : found) {
    EXPECT_EQ(metric.label_values_size(), static_cast<int>(keys[name].size())) << name;
    EXPECT_EQ(metric.timestamp(), 0) << name;
    EXPECT_TRUE(metric.has_value()) << name;
  }
  const auto& reads = found["container_fs_reads_total"];
  EXPECT_THAT(reads.label_values(), ElementsAre(StrCat("/berth/", pod_, "/", container_),
                                                container_, "docker.io/library/busybox:latest",
                                                "default", "web", "app", "/dev/fake8-0"));
  EXPECT_EQ(reads.metric_type(), v1::COUNTER);
  EXPECT_EQ(found["container_memory_rss"].metric_type(), v1::GAUGE);
  EXPECT_EQ(found["container_network_receive_bytes_total"].label_values(1), pod_);
}

TEST_F(StatsHandlers, ImageFsInfo) {
  v1::ImageFsInfoResponse response;
  ASSERT_TRUE(ImageFsInfo(services_, {}, {}, &response));
  ASSERT_EQ(response.image_filesystems_size(), 1);
  ASSERT_EQ(response.container_filesystems_size(), 1);
  EXPECT_GT(response.image_filesystems(0).timestamp(), 0);
  EXPECT_EQ(response.image_filesystems(0).fs_id().mountpoint(), "/fake/images");
  EXPECT_EQ(response.image_filesystems(0).inodes_used().value(), 1U);
}

}  // namespace
}  // namespace berth::api
