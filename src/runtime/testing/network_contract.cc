// SPDX-License-Identifier: Apache-2.0
#include "runtime/testing/network_contract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace berth::runtime {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

PodNetwork Pod(char digit) {
  PodNetwork pod;
  pod.sandbox_id = std::string(64, digit);
  pod.pod_name = "web";
  pod.pod_namespace = "default";
  pod.pod_uid = "uid-1";
  return pod;
}

void NamespaceIsMadeOnceAndRemovedTwice(Network& network) {
  const std::string id = Pod('a').sandbox_id;
  EXPECT_FALSE(network.NsExists(id));
  ASSERT_TRUE(network.CreateNs(id, {}));
  EXPECT_TRUE(network.NsExists(id));
  Result<os::Fd> ns = network.OpenNs(id);
  EXPECT_TRUE(ns && ns->valid());
  EXPECT_THAT(network.NsPath(id), HasSubstr(id));
  Result<> again = network.CreateNs(id, {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kAlreadyExists);
  EXPECT_THAT(again.error().message(), HasSubstr(id));
  EXPECT_THAT(*network.ListNs(), ElementsAre(id));
  EXPECT_TRUE(network.RemoveNs(id));
  EXPECT_TRUE(network.RemoveNs(id));
  EXPECT_FALSE(network.NsExists(id));
  Result<os::Fd> gone = network.OpenNs(id);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code(), Code::kNotFound) << gone.error().message();
  EXPECT_THAT(*network.ListNs(), IsEmpty());
}

void AttachGivesAddressesThatAreCached(Network& network) {
  const PodNetwork pod = Pod('b');
  ASSERT_TRUE(network.Ready());
  ASSERT_TRUE(network.CreateNs(pod.sandbox_id, {}));
  Result<NetworkStatus> status = network.Attach(pod);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_THAT(status->ips, Not(IsEmpty()));
  Result<NetworkStatus> cached = network.Cached(pod.sandbox_id);
  ASSERT_TRUE(cached) << cached.error().message();
  EXPECT_EQ(cached->ips, status->ips);
  EXPECT_EQ(cached->result_json, status->result_json);
  EXPECT_TRUE(network.Detach(pod.sandbox_id));
  Result<NetworkStatus> after = network.Cached(pod.sandbox_id);
  ASSERT_FALSE(after);
  EXPECT_EQ(after.error().code(), Code::kNotFound);
  EXPECT_TRUE(network.RemoveNs(pod.sandbox_id));
}

void AttachNeedsANamespace(Network& network) {
  Result<NetworkStatus> status = network.Attach(Pod('c'));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.error().message(), HasSubstr("network namespace"));
}

void PreparedPodIsAttachedWithWhatWasPrepared(Network& network) {
  PodNetwork pod = Pod('3');
  ASSERT_TRUE(network.Prepare(pod));
  Result<NetworkStatus> cached = network.Cached(pod.sandbox_id);
  ASSERT_FALSE(cached);
  EXPECT_EQ(cached.error().code(), Code::kNotFound);
  EXPECT_THAT(cached.error().message(), HasSubstr("nothing is attached"));
  ASSERT_TRUE(network.CreateNs(pod.sandbox_id, {}));
  Result<NetworkStatus> status = network.Attach(pod);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(network.Cached(pod.sandbox_id)->ips, status->ips);
  EXPECT_TRUE(network.Detach(pod.sandbox_id));
  EXPECT_FALSE(network.Cached(pod.sandbox_id));
  EXPECT_TRUE(network.RemoveNs(pod.sandbox_id));
}

// The namespace could not be made: Detach gives back what Prepare has taken, and it begins anew.
void PreparedPodIsDetachedWithoutANamespace(Network& network) {
  const PodNetwork pod = Pod('4');
  ASSERT_TRUE(network.Prepare(pod));
  Result<NetworkStatus> early = network.Attach(pod);
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code(), Code::kFailedPrecondition);
  Result<> detached = network.Detach(pod.sandbox_id);
  EXPECT_TRUE(detached) << detached.error().message();
  ASSERT_TRUE(network.Prepare(pod));
  ASSERT_TRUE(network.Prepare(pod));
  EXPECT_TRUE(network.CollectGarbage({}));
  EXPECT_FALSE(network.Cached(pod.sandbox_id));
}

void DetachOfNothingIsSuccess(Network& network) {
  EXPECT_TRUE(network.Detach(std::string(64, 'd')));
}

void DetachWorksWithoutTheNamespace(Network& network) {
  const PodNetwork pod = Pod('e');
  ASSERT_TRUE(network.CreateNs(pod.sandbox_id, {}));
  ASSERT_TRUE(network.Attach(pod));
  ASSERT_TRUE(network.RemoveNs(pod.sandbox_id));
  EXPECT_TRUE(network.Cached(pod.sandbox_id));
  Result<> detached = network.Detach(pod.sandbox_id);
  EXPECT_TRUE(detached) << detached.error().message();
  EXPECT_FALSE(network.Cached(pod.sandbox_id));
}

void AttachAgainReplacesTheAttachment(Network& network) {
  const PodNetwork pod = Pod('f');
  ASSERT_TRUE(network.CreateNs(pod.sandbox_id, {}));
  ASSERT_TRUE(network.Attach(pod));
  Result<NetworkStatus> again = network.Attach(pod);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(network.Cached(pod.sandbox_id)->ips, again->ips);
  EXPECT_TRUE(network.Detach(pod.sandbox_id));
  EXPECT_FALSE(network.Cached(pod.sandbox_id));
  EXPECT_TRUE(network.RemoveNs(pod.sandbox_id));
}

void GarbageIsWhatNobodyKnows(Network& network) {
  const PodNetwork kept = Pod('1');
  const PodNetwork lost = Pod('2');
  for (const PodNetwork& pod : {kept, lost}) {
    ASSERT_TRUE(network.CreateNs(pod.sandbox_id, {}));
    ASSERT_TRUE(network.Attach(pod));
  }
  EXPECT_NE(network.Cached(kept.sandbox_id)->ips, network.Cached(lost.sandbox_id)->ips);
  Result<> collected = network.CollectGarbage({kept.sandbox_id});
  EXPECT_TRUE(collected) << collected.error().message();
  EXPECT_TRUE(network.Cached(kept.sandbox_id));
  EXPECT_FALSE(network.Cached(lost.sandbox_id));
  EXPECT_TRUE(network.CollectGarbage({}));
  EXPECT_FALSE(network.Cached(kept.sandbox_id));
  EXPECT_TRUE(network.RemoveNs(kept.sandbox_id));
  EXPECT_TRUE(network.RemoveNs(lost.sandbox_id));
}

}  // namespace

void CheckNetworkContract(const std::function<std::unique_ptr<Network>()>& make) {
  const std::pair<const char*, void (*)(Network&)> promises[] = {
      {"namespace", NamespaceIsMadeOnceAndRemovedTwice},
      {"attach and cache", AttachGivesAddressesThatAreCached},
      {"attach without namespace", AttachNeedsANamespace},
      {"prepare", PreparedPodIsAttachedWithWhatWasPrepared},
      {"prepare and detach", PreparedPodIsDetachedWithoutANamespace},
      {"detach of nothing", DetachOfNothingIsSuccess},
      {"detach without namespace", DetachWorksWithoutTheNamespace},
      {"attach again", AttachAgainReplacesTheAttachment},
      {"garbage", GarbageIsWhatNobodyKnows},
  };
  for (const auto& [name, promise] : promises) {
    SCOPED_TRACE(name);
    const std::unique_ptr<Network> network = make();
    ASSERT_NE(network, nullptr);
    promise(*network);
  }
}

}  // namespace berth::runtime
