// SPDX-License-Identifier: Apache-2.0
// CniNetwork with fake plugins: readiness, garbage collection, namespaces, many pods at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/strings.h"
#include "runtime/cni_network.h"
#include "runtime/testing/cni_network_fixture.h"

namespace berth::runtime {
namespace {

using ::testing::HasSubstr;

TEST_F(CniNetworkTest, ReadyNamesTheFileOrThePluginThatIsWrong) {
  WithPod([&](CniNetwork& network, const PodNetwork&) {
    EXPECT_TRUE(network.Ready());
    EXPECT_THAT(network.ConfigJson(), HasSubstr("first"));
    fixture_.WriteConf("05-bad.conf", "{");
    Result<> ready = network.Ready();
    ASSERT_FALSE(ready);
    EXPECT_THAT(ready.error().message(), HasSubstr("conf/05-bad.conf"));
    fixture_.WriteConf("05-bad.conf", R"({"cniVersion":"1.0.0","name":"n","type":"absent"})");
    ready = network.Ready();
    ASSERT_FALSE(ready);
    EXPECT_EQ(ready.error().code(), Code::kFailedPrecondition);
    EXPECT_THAT(ready.error().message(), HasSubstr("cni plugin \"absent\": not found in"));
    Shell(StrCat("rm ", fixture_.path(), "/conf/*"));
    ready = network.Ready();
    ASSERT_FALSE(ready);
    EXPECT_THAT(ready.error().message(), HasSubstr("no cni network configuration"));
    fixture_.WriteConf("10-net.conf", R"({"cniVersion":"1.1.0","name":"n","type":"first"})");
    fixture_.WritePlugin("first", R"([ $CNI_COMMAND = STATUS ] || exit 0
echo '{"cniVersion":"1.1.0","code":50,"msg":"agent is not up"}'; exit 1)");
    ready = network.Ready();
    ASSERT_FALSE(ready);
    EXPECT_EQ(ready.error().code(), Code::kUnavailable);
    EXPECT_THAT(ready.error().message(), HasSubstr("agent is not up"));
    fixture_.WritePlugin("first", R"(echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0"]}')");
    ready = network.Ready();
    ASSERT_FALSE(ready);
    EXPECT_THAT(ready.error().message(), HasSubstr("does not support version 1.1.0"));
  });
}

TEST_F(CniNetworkTest, AChainWithAMissingPluginIsNotBegun) {
  WithPod([&](CniNetwork& network, const PodNetwork& pod) {
    fixture_.WriteConf("05-half.conflist",
                       R"({"cniVersion":"1.0.0","name":"n","plugins":[{"type":"first"},)"
                       R"({"type":"absent"}]})");
    Result<NetworkStatus> status = network.Attach(pod);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), Code::kFailedPrecondition);
    EXPECT_THAT(status.error().message(), HasSubstr("cni plugin \"absent\": not found in"));
    EXPECT_EQ(fixture_.Calls(), "");
    EXPECT_EQ(fixture_.StateFiles(), "");
    fixture_.WriteConf("05-half.conflist", "{");
    status = network.Attach(pod);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), Code::kFailedPrecondition);
    EXPECT_THAT(status.error().message(), HasSubstr("05-half.conflist"));
  });
}

TEST_F(CniNetworkTest, AWriteThatWasCutShortLeavesNothingAfterTheNextStart) {
  InOwn([&] {
    Shell(StrCat("mkdir -p ", fixture_.path(), "/state && touch ", fixture_.path(),
                 "/state/.berth-tmp-0123456789abcdef"));
    const std::unique_ptr<CniNetwork> network = fixture_.Open();
    EXPECT_EQ(fixture_.StateFiles(), "");
  });
}

TEST_F(CniNetworkTest, GarbageCollectionTellsPluginsWhatIsValid) {
  fixture_.WriteConf("10-net.conflist",
                     R"({"cniVersion":"1.1.0","name":"n","plugins":[{"type":"first"}]})");
  WithPod([&](CniNetwork& network, const PodNetwork& pod) {
    ASSERT_TRUE(network.Attach(pod));
    ASSERT_TRUE(network.CollectGarbage({pod.sandbox_id}));
    EXPECT_EQ(fixture_.Calls(), "ADD first\nGC first\n");
    EXPECT_THAT(
        fixture_.Logged("2.GC.first.in"),
        HasSubstr(StrCat(R"("cni.dev/valid-attachments":[{"containerID":")", pod.sandbox_id)));
    EXPECT_TRUE(network.Detach(pod.sandbox_id));
  });
}

TEST_F(CniNetworkTest, NamespaceSysctlsAreSetAndOthersRefused) {
  InOwn([&] {
    const std::unique_ptr<CniNetwork> network = fixture_.Open();
    const PodNetwork pod = Pod();
    EXPECT_EQ(network->CreateNs(pod.sandbox_id, {{"kernel.core_pattern", "x"}}).error().code(),
              Code::kInvalidArgument);
    EXPECT_FALSE(network->CreateNs(pod.sandbox_id, {{"net.ipv4.no_such", "1"}}));
    EXPECT_FALSE(network->NsExists(pod.sandbox_id));
    ASSERT_TRUE(network->CreateNs(pod.sandbox_id, {{"net.ipv4.ip_unprivileged_port_start", "99"}}));
    EXPECT_EQ(Shell(StrCat("nsenter --net=", network->NsPath(pod.sandbox_id),
                           " sysctl -n net.ipv4.ip_unprivileged_port_start "
                           "net.ipv4.ping_group_range net.ipv6.conf.default.accept_ra")),
              "99\n0\t2147483647\n0\n");
    EXPECT_TRUE(network->RemoveNs(pod.sandbox_id));
  });
}

TEST_F(CniNetworkTest, PodsAreAttachedSideBySideAndOnePodsCallsInTurn) {
  InOwn([&] {
    const std::unique_ptr<CniNetwork> network = fixture_.Open();
    const std::string_view digits = "0123456789abcdef";
    {
      std::vector<std::jthread> threads;
      for (char digit : digits) {
        ASSERT_TRUE(network->CreateNs(std::string(64, digit), {}));
        for (int twice = 0; twice < 2; ++twice)
          threads.emplace_back([&, digit] { EXPECT_TRUE(network->Attach(Pod(digit))); });
      }
    }
    for (char digit : digits) {
      EXPECT_TRUE(network->Cached(std::string(64, digit)));
      EXPECT_TRUE(network->Detach(std::string(64, digit)));
      EXPECT_TRUE(network->RemoveNs(std::string(64, digit)));
    }
    EXPECT_EQ(fixture_.StateFiles(), "");
  });
}

}  // namespace
}  // namespace berth::runtime
