// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_args.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::runtime {
namespace {

using ::testing::HasSubstr;

PodNetwork Pod() {
  PodNetwork pod;
  pod.sandbox_id = std::string(64, 'a');
  pod.pod_name = "web-0";
  pod.pod_namespace = "shop";
  pod.pod_uid = "u-1";
  return pod;
}

TEST(CniArgs, NameThePodInTheOrderOthersUse) {
  EXPECT_EQ(
      *BuildCniArgs(Pod()),
      "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=" +
          std::string(64, 'a') + ";K8S_POD_UID=u-1");
}

TEST(CniArgs, RefuseValuesThatForgeAnotherArgument) {
  for (const char* bad : {"a;K8S_POD_NAME=b", "a=b", "a\nb"}) {
    PodNetwork pod = Pod();
    pod.pod_name = bad;
    Result<std::string> args = BuildCniArgs(pod);
    ASSERT_FALSE(args) << bad;
    EXPECT_EQ(args.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(args.error().message(), HasSubstr("K8S_POD_NAME"));
  }
}

TEST(CniArgs, LeavePortsWithoutHostPortOut) {
  PodNetwork pod = Pod();
  pod.port_mappings = {{"tcp", 80, 8080, ""}, {"udp", 53, 0, ""}, {"SCTP", 9, 9, "192.0.2.1"}};
  const oci::RuntimeConfig config = std::move(*BuildRuntimeConfig(pod));
  ASSERT_EQ(config.port_mappings.size(), 2U);
  EXPECT_EQ(config.port_mappings[0].host_port, 8080);
  EXPECT_EQ(config.port_mappings[1].protocol, "sctp");
  EXPECT_EQ(config.port_mappings[1].host_ip, "192.0.2.1");
  EXPECT_FALSE(config.bandwidth);
  EXPECT_FALSE(config.dns);
}

TEST(CniArgs, RefuseBadPorts) {
  for (const PortMapping& bad : {PortMapping{"tcp", 0, 80, ""}, PortMapping{"tcp", 80, 65536, ""},
                                 PortMapping{"icmp", 80, 80, ""}, PortMapping{"tcp", 80, -1, ""}}) {
    PodNetwork pod = Pod();
    pod.port_mappings = {bad};
    Result<oci::RuntimeConfig> config = BuildRuntimeConfig(pod);
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().code(), Code::kInvalidArgument);
  }
}

TEST(CniArgs, ReadBandwidthFromAnnotations) {
  PodNetwork pod = Pod();
  pod.annotations = {{"kubernetes.io/ingress-bandwidth", "10M"},
                     {"kubernetes.io/egress-bandwidth", "1Gi"}};
  const oci::RuntimeConfig config = std::move(*BuildRuntimeConfig(pod));
  ASSERT_TRUE(config.bandwidth);
  EXPECT_EQ(config.bandwidth->ingress_rate, 10'000'000U);
  EXPECT_EQ(config.bandwidth->egress_rate, 1U << 30);
  for (const char* bad : {"fast", "", "1", "2P", "-5M"}) {
    pod.annotations["kubernetes.io/egress-bandwidth"] = bad;
    Result<oci::RuntimeConfig> refused = BuildRuntimeConfig(pod);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(refused.error().message(), HasSubstr("egress-bandwidth"));
  }
}

TEST(Quantity, FollowsKubernetes) {
  const std::pair<const char*, uint64_t> good[] = {{"0", 0},
                                                   {"1.5k", 1500},
                                                   {"1e3", 1000},
                                                   {"1E3", 1000},
                                                   {"12E-1", 2},
                                                   {"100m", 1},
                                                   {"2Ki", 2048},
                                                   {"1.5Gi", 3ULL << 29},
                                                   {"+7", 7},
                                                   {".5k", 500},
                                                   {"5.", 5},
                                                   {"1n", 1},
                                                   {"8E", 8'000'000'000'000'000'000U},
                                                   {"7Ei", 7ULL << 60}};
  for (const auto& [text, value] : good) {
    Result<uint64_t> parsed = ParseQuantity(text, "q");
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, value) << text;
  }
  for (const char* bad : {"", ".", "k", "1.2.3", "1kk", "1 k", "1K", "1e", "1e99", "0x1", "-1",
                          "8Ei", "99999999999999999999", "1i"})
    EXPECT_FALSE(ParseQuantity(bad, "q")) << bad;
}

}  // namespace
}  // namespace berth::runtime
