// SPDX-License-Identifier: Apache-2.0
// The fixture of CniNetwork's tests: two fake plugins and a configuration that names them.
// Owned by one test; one thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "os/testing/leak_check.h"
#include "runtime/testing/cni_fixture.h"

namespace berth::runtime {

inline constexpr const char* kTwoPlugins =
    R"({"cniVersion":"1.0.0","name":"net","plugins":[{"type":"first"},)"
    R"({"type":"second","capabilities":{"portMappings":true}}]})";

inline PodNetwork Pod(char digit = 'a') {
  PodNetwork pod;
  pod.sandbox_id = std::string(64, digit);
  pod.pod_name = "web-0";
  pod.pod_namespace = "shop";
  pod.pod_uid = "u-1";
  pod.port_mappings = {{"tcp", 80, 8080, ""}, {"tcp", 81, 0, ""}};
  return pod;
}

// The fixture is made outside, the network inside: pins need the private mounts.
class CniNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fixture_.WriteConf("10-net.conflist", kTwoPlugins);
    fixture_.WritePlugin("first");
    fixture_.WritePlugin("second");
  }
  void InOwn(const std::function<void()>& work) {
    const std::string skip = InOwnNetwork([&] {
      const os::LeakCheck leaks;
      work();
      // The directory of pins is a mount of its own, which outlives the daemon on purpose.
      EXPECT_EQ(Shell(StrCat("umount ", fixture_.path(), "/netns")), "");
      EXPECT_EQ(leaks.Diff(), "");
    });
    if (!skip.empty()) GTEST_SKIP() << skip;
  }
  // A pod with a namespace, which is removed at the end.
  void WithPod(const std::function<void(CniNetwork&, const PodNetwork&)>& work) {
    InOwn([&] {
      const std::unique_ptr<CniNetwork> network = fixture_.Open();
      ASSERT_NE(network, nullptr);
      const PodNetwork pod = Pod();
      ASSERT_TRUE(network->CreateNs(pod.sandbox_id, {}));
      work(*network, pod);
      EXPECT_TRUE(network->RemoveNs(pod.sandbox_id));
    });
  }
  CniFixture fixture_;
};

}  // namespace berth::runtime
