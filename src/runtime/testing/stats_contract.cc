// SPDX-License-Identifier: Apache-2.0
#include "runtime/testing/stats_contract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace berth::runtime {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

void AReadingHasItsTimeAndItsFigures(StatsUnderTest& subject) {
  subject.SetGroup("/pod/a", 5'000'000'000, 4096);
  auto meter = subject.stats().MakeMeter("/pod/a");
  auto usage = meter->Read(os::CgroupDetail::kUsage);
  ASSERT_TRUE(usage) << usage.error().message();
  EXPECT_EQ(usage->timestamp, subject.clock().WallNanos());
  EXPECT_EQ(usage->group.cpu->usage_ns, 5'000'000'000U);
  EXPECT_EQ(usage->group.memory->usage, 4096U);
  EXPECT_EQ(usage->group.tasks, 1U);
}

void ARateNeedsTwoReadings(StatsUnderTest& subject) {
  subject.SetGroup("/pod/a", 1'000'000'000, 0);
  auto meter = subject.stats().MakeMeter("/pod/a");
  EXPECT_FALSE(meter->Read(os::CgroupDetail::kUsage)->nano_cores);
  subject.clock().Advance(seconds(10));
  subject.SetGroup("/pod/a", 6'000'000'000, 0);
  EXPECT_EQ(meter->Read(os::CgroupDetail::kUsage)->nano_cores, 500'000'000U);
  // So soon after that one there is nothing to divide by: the last rate stands.
  subject.clock().Advance(milliseconds(1));
  subject.SetGroup("/pod/a", 6'001'000'000, 0);
  EXPECT_EQ(meter->Read(os::CgroupDetail::kUsage)->nano_cores, 500'000'000U);
  subject.clock().Advance(milliseconds(999));
  subject.SetGroup("/pod/a", 8'000'000'000, 0);
  EXPECT_EQ(meter->Read(os::CgroupDetail::kUsage)->nano_cores, 2'000'000'000U);
}

void ACounterThatGoesBackGivesNoRate(StatsUnderTest& subject) {
  subject.SetGroup("/pod/a", 9'000'000'000, 0);
  auto meter = subject.stats().MakeMeter("/pod/a");
  ASSERT_TRUE(meter->Read(os::CgroupDetail::kUsage));
  subject.clock().Advance(seconds(1));
  subject.SetGroup("/pod/a", 1'000, 0);
  EXPECT_FALSE(meter->Read(os::CgroupDetail::kUsage)->nano_cores);
}

void ReadersAtTheSameTimeSeeNoNonsense(StatsUnderTest& subject) {
  subject.SetGroup("/pod/a", 1'000'000'000, 0);
  auto meter = subject.stats().MakeMeter("/pod/a");
  ASSERT_TRUE(meter->Read(os::CgroupDetail::kUsage));
  subject.clock().Advance(seconds(1));
  subject.SetGroup("/pod/a", 1'250'000'000, 0);
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i)
    readers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        auto usage = meter->Read(os::CgroupDetail::kUsage);
        if (!usage || usage->nano_cores != 250'000'000U) ++wrong;
      }
    });
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

void NoGroupIsNotFound(StatsUnderTest& subject) {
  auto meter = subject.stats().MakeMeter("/pod/none");
  auto usage = meter->Read(os::CgroupDetail::kUsage);
  ASSERT_FALSE(usage);
  EXPECT_EQ(usage.error().code(), Code::kNotFound);
  EXPECT_THAT(usage.error().message(), testing::HasSubstr("control group /pod/none is not there"));
  subject.SetGroup("/pod/none", 1, 1);
  EXPECT_TRUE(meter->Read(os::CgroupDetail::kUsage));
  subject.RemoveGroup("/pod/none");
  meter->Close();
  usage = meter->Read(os::CgroupDetail::kUsage);
  ASSERT_FALSE(usage);
  EXPECT_EQ(usage.error().code(), Code::kNotFound);
}

void NobodyToAskIsNoError(StatsUnderTest& subject) {
  auto none = subject.stats().ReadNetworks({});
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
  auto gone =
      subject.stats().ReadNetworks({{"pod", "/nonexistent/netns"}, {"q", "/nonexistent/q"}});
  ASSERT_TRUE(gone) << gone.error().message();
  EXPECT_TRUE(gone->empty());
  subject.stats().Forget("pod");
  auto counts = subject.stats().CountProcesses({});
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->file_descriptors, 0U);
}

}  // namespace

void CheckStatsContract(const StatsFactory& make) {
  for (auto* promise :
       {AReadingHasItsTimeAndItsFigures, ARateNeedsTwoReadings, ACounterThatGoesBackGivesNoRate,
        ReadersAtTheSameTimeSeeNoNonsense, NoGroupIsNotFound, NobodyToAskIsNoError}) {
    const std::unique_ptr<StatsUnderTest> subject = make();
    promise(*subject);
  }
}

}  // namespace berth::runtime
