// SPDX-License-Identifier: Apache-2.0
// CniNetwork with fake plugins: what they are given, what is on disk after each step, what a crash
// leaves.
#include "runtime/cni_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "runtime/testing/cni_network_fixture.h"
#include "runtime/testing/fake_network.h"
#include "runtime/testing/network_contract.h"

namespace berth::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(FakeNetwork, KeepsTheContract) {
  CheckNetworkContract([] { return std::make_unique<FakeNetwork>(); });
}

TEST_F(CniNetworkTest, KeepsTheContract) {
  const std::string skip = InOwnNetwork(
      [&] { CheckNetworkContract([&] { return std::unique_ptr<Network>(fixture_.Open()); }); });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

TEST_F(CniNetworkTest, PluginsGetExactlyWhatTheSpecNames) {
  WithPod([&](CniNetwork& network, const PodNetwork& pod) {
    ASSERT_TRUE(network.Attach(pod));
    EXPECT_EQ(fixture_.Calls(), "ADD first\nADD second\n");
    EXPECT_EQ(fixture_.Logged("1.ADD.first.env"),
              StrCat("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;"
                     "K8S_POD_INFRA_CONTAINER_ID=",
                     pod.sandbox_id, ";K8S_POD_UID=u-1\nCNI_COMMAND=ADD\nCNI_CONTAINERID=",
                     pod.sandbox_id, "\nCNI_IFNAME=eth0\nCNI_NETNS=", fixture_.path(),
                     "/netns/berth-", pod.sandbox_id, "\nCNI_PATH=", fixture_.path(),
                     "/bin\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"));
    EXPECT_EQ(fixture_.Logged("1.ADD.first.in"),
              R"({"cniVersion":"1.0.0","name":"net","type":"first"})");
    const std::string second = fixture_.Logged("2.ADD.second.in");
    EXPECT_THAT(second, HasSubstr(R"("prevResult":{)"));
    EXPECT_THAT(second, HasSubstr(R"("hostPort":8080)"));
    EXPECT_THAT(second, Not(HasSubstr(R"("hostPort":81)")));
    ASSERT_TRUE(network.Check(pod.sandbox_id));
    ASSERT_TRUE(network.Detach(pod.sandbox_id));
    EXPECT_EQ(fixture_.Calls(),
              "ADD first\nADD second\nCHECK first\nCHECK second\nDEL second\nDEL first\n");
    EXPECT_THAT(fixture_.Logged("6.DEL.first.in"), HasSubstr(R"("prevResult":{)"));
    EXPECT_EQ(fixture_.StateFiles(), "");
  });
}

TEST_F(CniNetworkTest, WhatIsOnlyPreparedNeedsNoPluginToBeUndoneButAfterARestart) {
  WithPod([&](CniNetwork& network, const PodNetwork& pod) {
    ASSERT_TRUE(network.Prepare(pod));
    EXPECT_THAT(fixture_.StateFiles(), HasSubstr(pod.sandbox_id));
    ASSERT_TRUE(network.Detach(pod.sandbox_id));
    EXPECT_EQ(fixture_.StateFiles(), "");
    ASSERT_TRUE(network.Prepare(pod));
    EXPECT_EQ(fixture_.Calls(), "");
    // The next daemon does not know how far the last one has come.
    ASSERT_TRUE(fixture_.Open()->Detach(pod.sandbox_id));
    EXPECT_EQ(fixture_.Calls(), "DEL second\nDEL first\n");
    EXPECT_EQ(fixture_.StateFiles(), "");
  });
}

TEST_F(CniNetworkTest, DetachUsesTheConfigurationOfAttachAlsoWithoutTheNamespace) {
  WithPod([&](CniNetwork& network, const PodNetwork& pod) {
    ASSERT_TRUE(network.Attach(pod));
    fixture_.WriteConf("10-net.conflist",
                       R"({"cniVersion":"1.0.0","name":"new","plugins":[{"type":"other"}]})");
    ASSERT_TRUE(network.RemoveNs(pod.sandbox_id));
    fixture_.ClearLog();
    ASSERT_TRUE(network.Detach(pod.sandbox_id));
    EXPECT_EQ(fixture_.Calls(), "DEL second\nDEL first\n");
    EXPECT_THAT(fixture_.Logged("1.DEL.second.env"), HasSubstr("CNI_NETNS=\n"));
    EXPECT_THAT(fixture_.Logged("1.DEL.second.in"), HasSubstr(R"("hostPort":8080)"));
  });
}

TEST_F(CniNetworkTest, AFailedAddIsUndoneAndSaysWhatThePluginSaid) {
  fixture_.WritePlugin("second", R"([ $CNI_COMMAND = ADD ] || exit 0
echo '{"cniVersion":"1.0.0","code":11,"msg":"busy","details":"no lease"}'; exit 1)");
  WithPod([&](CniNetwork& network, const PodNetwork& pod) {
    Result<NetworkStatus> status = network.Attach(pod);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), Code::kUnavailable);
    EXPECT_THAT(status.error().message(), HasSubstr("busy"));
    EXPECT_THAT(status.error().message(), HasSubstr("no lease"));
    EXPECT_THAT(status.error().message(), HasSubstr("second"));
    EXPECT_EQ(fixture_.Calls(), "ADD first\nADD second\nDEL second\nDEL first\n");
    EXPECT_EQ(fixture_.StateFiles(), "");
    EXPECT_FALSE(network.Cached(pod.sandbox_id));
  });
}

TEST_F(CniNetworkTest, AFailedDelKeepsTheRecordForARetry) {
  WithPod([&](CniNetwork& network, const PodNetwork& pod) {
    ASSERT_TRUE(network.Attach(pod));
    fixture_.WritePlugin("first", "echo 'no such device' >&2; exit 3");
    Result<> done = network.Detach(pod.sandbox_id);
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message(), HasSubstr("exit code 3: \"no such device\""));
    EXPECT_THAT(fixture_.StateFiles(), HasSubstr(pod.sandbox_id));
    fixture_.WritePlugin("first");
    EXPECT_TRUE(network.Detach(pod.sandbox_id));
    EXPECT_EQ(fixture_.StateFiles(), "");
  });
}

TEST_F(CniNetworkTest, APodOfANetworkThatNeverWorkedGoesOnceTheNetworkIsCorrected) {
  fixture_.WritePlugin("first",
                       R"(case "$IN" in *wrong*) echo 'invalid subnet' >&2; exit 1;; esac)");
  fixture_.WriteConf(
      "10-net.conflist",
      R"({"cniVersion":"1.0.0","name":"net","plugins":[{"type":"first","subnet":"wrong"}]})");
  WithPod([&](CniNetwork& network, const PodNetwork& pod) {
    EXPECT_THAT(network.Attach(pod).error().message(), HasSubstr("invalid subnet"));
    EXPECT_THAT(network.Detach(pod.sandbox_id).error().message(), HasSubstr("invalid subnet"));
    // Another network's DEL would do nothing and say that all is well.
    fixture_.WriteConf("10-net.conflist",
                       R"({"cniVersion":"1.0.0","name":"other","plugins":[{"type":"first"}]})");
    EXPECT_FALSE(network.Detach(pod.sandbox_id));
    fixture_.WriteConf("10-net.conflist",
                       R"({"cniVersion":"1.0.0","name":"net","plugins":[{"type":"first"}]})");
    Result<> done = network.Detach(pod.sandbox_id);
    EXPECT_TRUE(done) << done.error().message();
    EXPECT_EQ(fixture_.StateFiles(), "");
  });
}

TEST_F(CniNetworkTest, BadOutputIsAnErrorAndUndone) {
  const std::pair<const char*, Code> bad[] = {
      {"[ $CNI_COMMAND = DEL ] || echo garbage", Code::kInvalidArgument},
      {"[ $CNI_COMMAND = DEL ] || echo '{\"cniVersion\":\"1.0.0\"}'",
       Code::kInternal},  // no address
      {"[ $CNI_COMMAND = DEL ] || head -c 2000000 /dev/zero", Code::kResourceExhausted},
  };
  WithPod([&](CniNetwork& network, const PodNetwork& pod) {
    for (const auto& [body, code] : bad) {
      fixture_.WritePlugin("second", body);
      Result<NetworkStatus> status = network.Attach(pod);
      ASSERT_FALSE(status) << body;
      EXPECT_EQ(status.error().code(), code) << status.error().message();
      EXPECT_EQ(fixture_.StateFiles(), "") << body;
    }
  });
}

TEST_F(CniNetworkTest, APluginThatHangsIsKilledAndOneThatLeavesAChildIsNotWaitedFor) {
  InOwn([&] {
    CniNetworkOptions options = fixture_.Options();
    options.plugin_timeout = std::chrono::seconds(1);
    const std::unique_ptr<CniNetwork> network = std::move(*CniNetwork::Open(options));
    const PodNetwork pod = Pod();
    ASSERT_TRUE(network->CreateNs(pod.sandbox_id, {}));
    fixture_.WritePlugin("second", "[ $CNI_COMMAND = DEL ] && exit 0; sleep 60 & sleep 60");
    Result<NetworkStatus> status = network->Attach(pod);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), Code::kDeadlineExceeded) << status.error().message();
    EXPECT_THAT(status.error().message(), HasSubstr("second"));
    fixture_.WritePlugin("second",
                         "sleep 5 & printf '{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":"
                         "\"10.0.0.2/8\"}]}'");
    status = network->Attach(pod);
    EXPECT_TRUE(status) << status.error().message();
    EXPECT_TRUE(network->Detach(pod.sandbox_id));
    EXPECT_TRUE(network->RemoveNs(pod.sandbox_id));
  });
}

TEST_F(CniNetworkTest, ACrashAtAnyStepIsPutRightByTheNextDaemon) {
  InOwn([&] {
    const PodNetwork pod = Pod();
    for (int at = 1; at <= 5; ++at) {
      SCOPED_TRACE(at);
      fixture_.ClearLog();
      {
        const std::unique_ptr<CniNetwork> dying = fixture_.Open();
        int step = 0;
        dying->SetCrashPoint([&](std::string_view name) -> Result<> {
          return ++step == at ? Result<>(Error(Code::kCancelled, StrCat("crash at ", name))) : Ok();
        });
        ASSERT_TRUE(dying->CreateNs(pod.sandbox_id, {}));
        // Steps 1 to 3 are in Attach, 4 and 5 in Detach.
        EXPECT_EQ(dying->Attach(pod).has_value(), at > 3);
        if (at > 3) {
          EXPECT_FALSE(dying->Detach(pod.sandbox_id));
        }
      }
      const std::unique_ptr<CniNetwork> next = fixture_.Open();
      if (at <= 3) {
        EXPECT_FALSE(next->Cached(pod.sandbox_id)) << "not a complete attachment";
      }
      fixture_.ClearLog();
      Result<> collected = next->CollectGarbage({});
      EXPECT_TRUE(collected) << collected.error().message();
      EXPECT_EQ(fixture_.Calls(), at < 5 ? "DEL second\nDEL first\n" : "");
      EXPECT_EQ(fixture_.StateFiles(), "");
      EXPECT_TRUE(next->RemoveNs(pod.sandbox_id));
    }
  });
}

TEST_F(CniNetworkTest, AnUnreadableRecordIsDetachedByThePresentConfigurationAndSetAside) {
  WithPod([&](CniNetwork& network, const PodNetwork& pod) {
    ASSERT_TRUE(network.Attach(pod));
    ASSERT_EQ(Shell(StrCat("echo junk > ", fixture_.path(), "/state/", pod.sandbox_id)), "");
    fixture_.WritePlugin("first", "exit 1");
    Result<> done = network.Detach(pod.sandbox_id);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Code::kDataLoss);
    EXPECT_THAT(fixture_.StateFiles(), Not(HasSubstr(".bad")));
    fixture_.WritePlugin("first");
    done = network.Detach(pod.sandbox_id);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Code::kDataLoss);
    EXPECT_THAT(done.error().message(), HasSubstr(pod.sandbox_id));
    EXPECT_EQ(fixture_.StateFiles(), pod.sandbox_id + ".bad");
    EXPECT_TRUE(network.Detach(pod.sandbox_id));
  });
}

}  // namespace
}  // namespace berth::runtime
