// SPDX-License-Identifier: Apache-2.0
#include "oci/cgroup_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

using testing::ElementsAre;
using testing::Pair;

const CgroupFiles kV1 = {{"cpu.shares", "512"},
                         {"cpu.cfs_quota_us", "50000"},
                         {"cpu.cfs_period_us", "100000"},
                         {"memory.limit_in_bytes", "104857600"},
                         {"memory.memsw.limit_in_bytes", "104857600"},
                         {"cpuset.cpus", "0-1"}};
const CgroupFiles kV2 = {{"cpu.weight", "20"},
                         {"cpu.max", "50000 100000"},
                         {"memory.max", "104857600"},
                         {"memory.swap.max", "0"},
                         {"cpuset.cpus", "0-1"}};

Resources Asked() {
  Resources asked;
  asked.cpu.shares = 512;
  asked.cpu.quota = 50000;
  asked.cpu.period = 100000;
  asked.cpu.cpus = "0,1";
  asked.memory.limit = 104857600;
  asked.memory.swap = 104857600;
  return asked;
}

TEST(CgroupLimits, NothingIsMissingWhereTheGroupHasWhatIsAsked) {
  EXPECT_THAT(*MissingLimits(Asked(), kV1, false), ElementsAre());
  EXPECT_THAT(*MissingLimits(Asked(), kV2, true), ElementsAre());
}

TEST(CgroupLimits, SharesAndWeightsGoRoundWithoutALoss) {
  for (uint64_t weight = 1; weight <= 10000; ++weight) {
    ASSERT_EQ(WeightOfShares(SharesOfWeight(weight)), weight);
  }
  EXPECT_EQ(WeightOfShares(2), 1U);
  EXPECT_EQ(WeightOfShares(1024), 39U);
  EXPECT_EQ(WeightOfShares(262144), 10000U);
  EXPECT_EQ(WeightOfShares(0), 1U);
  EXPECT_EQ(WeightOfShares(UINT64_MAX), 10000U);
  EXPECT_EQ(CurvedWeightOfShares(2), 1U);
  EXPECT_EQ(CurvedWeightOfShares(1024), 100U);
  EXPECT_EQ(CurvedWeightOfShares(262144), 10000U);
}

TEST(CgroupLimits, AWeightByEitherFormulaIsTheSharesThatWereAsked) {
  Resources asked;
  for (uint64_t shares : {2U, 102U, 512U, 1000U, 1024U, 4096U, 262144U}) {
    asked.cpu.shares = shares;
    for (uint64_t weight : {WeightOfShares(shares), CurvedWeightOfShares(shares)}) {
      CgroupFiles files = {{"cpu.weight", std::to_string(weight)}};
      EXPECT_EQ(ActualLimits(asked, files, true)->cpu.shares, shares);
      EXPECT_THAT(*MissingLimits(asked, files, true), ElementsAre());
    }
  }
  // Another weight is told as it is.
  EXPECT_EQ(ActualLimits(asked, {{"cpu.weight", "50"}}, true)->cpu.shares, SharesOfWeight(50));
}

TEST(CgroupLimits, WhatIsMissingIsNamedByFile) {
  Resources asked = Asked();
  asked.cpu.shares = 1024;
  asked.cpu.quota = -1;
  asked.memory.limit = 209715200;
  asked.memory.swap = -1;
  asked.cpu.cpus = "0";
  EXPECT_THAT(*MissingLimits(asked, kV1, false),
              ElementsAre(Pair("cpu.cfs_quota_us", "-1"), Pair("cpu.shares", "1024"),
                          Pair("cpuset.cpus", "0"), Pair("memory.limit_in_bytes", "209715200"),
                          Pair("memory.memsw.limit_in_bytes", "-1")));
  EXPECT_THAT(
      *MissingLimits(asked, kV2, true),
      ElementsAre(Pair("cpu.max", "max 100000"), Pair("cpu.weight", "39"), Pair("cpuset.cpus", "0"),
                  Pair("memory.max", "209715200"), Pair("memory.swap.max", "max")));
}

TEST(CgroupLimits, SwapOnV2IsTheDifference) {
  Resources asked;
  asked.memory.limit = 100 << 20;
  asked.memory.swap = 150 << 20;
  EXPECT_THAT(*MissingLimits(asked, kV2, true), ElementsAre(Pair("memory.swap.max", "52428800")));
  CgroupFiles files = kV2;
  files["memory.swap.max"] = "52428800";
  EXPECT_THAT(*MissingLimits(asked, files, true), ElementsAre());
  EXPECT_EQ(ActualLimits({}, files, true)->memory.swap, 150 << 20);
}

TEST(CgroupLimits, TheKernelsRoundingToPagesIsNoDifference) {
  Resources asked;
  asked.memory.limit = 104857600 + 17;
  EXPECT_THAT(*MissingLimits(asked, kV1, false), ElementsAre());
  EXPECT_EQ(ActualLimits(asked, kV1, false)->memory.limit, 104857600 + 17);
}

TEST(CgroupLimits, UnlimitedIsMinusOneHoweverItIsWritten) {
  CgroupFiles v1 = kV1;
  v1["memory.limit_in_bytes"] = v1["memory.memsw.limit_in_bytes"] = "9223372036854771712";
  v1["cpu.cfs_quota_us"] = "-1";
  CgroupFiles v2 = kV2;
  v2["memory.max"] = v2["memory.swap.max"] = "max";
  v2["cpu.max"] = "max 100000";
  for (bool is_v2 : {false, true}) {
    Resources actual = *ActualLimits(Asked(), is_v2 ? v2 : v1, is_v2);
    EXPECT_EQ(actual.memory.limit, -1);
    EXPECT_EQ(actual.memory.swap, -1);
    EXPECT_EQ(actual.cpu.quota, -1);
    // Nobody asked and nothing is limited: nothing is told.
    Resources none = *ActualLimits({}, is_v2 ? v2 : v1, is_v2);
    EXPECT_FALSE(none.memory.limit || none.memory.swap || none.cpu.quota || none.cpu.period);
  }
}

TEST(CgroupLimits, WhatTheFilesSayWins) {
  Resources known = Asked();
  known.cpu.cpus = "0";
  known.memory.limit = 1 << 20;
  known.cpu.shares = 2;
  for (bool v2 : {false, true}) {
    Resources actual = *ActualLimits(known, v2 ? kV2 : kV1, v2);
    EXPECT_EQ(actual.memory.limit, 104857600);
    EXPECT_EQ(actual.cpu.shares, v2 ? SharesOfWeight(20) : 512U);
    EXPECT_EQ(actual.cpu.cpus, "0-1");
  }
}

TEST(CgroupLimits, HugepagesOfSizesThatTheKernelHas) {
  Resources asked;
  asked.hugepage_limits = {{"2MB", 4194304}, {"1GB", 0}};
  EXPECT_THAT(LimitFiles(asked, false), testing::Contains("hugetlb.2MB.limit_in_bytes"));
  EXPECT_THAT(*MissingLimits(asked, {{"hugetlb.2MB.max", "max"}}, true),
              ElementsAre(Pair("hugetlb.2MB.max", "4194304")));
  EXPECT_THAT(*MissingLimits(asked, {{"hugetlb.2MB.max", "4194304"}}, true), ElementsAre());
}

TEST(CgroupLimits, UnifiedFilesAreTheRuntimesToWrite) {
  Resources asked;
  asked.memory.limit = 1 << 20;
  asked.unified = {{"memory.max", "2097152"}, {"memory.high", "1048576"}};
  EXPECT_THAT(LimitFiles(asked, true), testing::Contains("memory.high"));
  EXPECT_THAT(*MissingLimits(asked, kV2, true), ElementsAre());
}

TEST(CgroupLimits, AFileThatIsNoLimitIsAnError) {
  for (const char* text : {"", "many", "1x", "-2", "99999999999999999999"}) {
    EXPECT_FAILS(MissingLimits(Asked(), {{"memory.max", text}}, true), Code::kInvalidArgument,
                 "control group file memory.max");
  }
  EXPECT_FAILS(ActualLimits({}, {{"cpu.max", "max"}}, true), Code::kInvalidArgument,
               "control group file cpu.max: \"max\" is not a limit");
}

}  // namespace
}  // namespace berth::oci
