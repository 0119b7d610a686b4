// SPDX-License-Identifier: Apache-2.0
#include "cni/traffic_control.h"

#include <gtest/gtest.h>

namespace berth::cni {
namespace {

TEST(TrafficControl, BucketsAreWhatTheReferenceAsksTheKernelFor) {
  const KernelBucket bucket = ToKernel({10'000'000, 80'000'000});
  EXPECT_EQ(bucket.rate, 1'250'000u);
  EXPECT_EQ(bucket.buffer, 125'000'000u) << "8 s in ticks of 64 ns";
  EXPECT_EQ(bucket.limit, 10'031'250u) << "the burst and 25 ms of the rate";
}

TEST(TrafficControl, WhatDoesNotFitIsCut) {
  const KernelBucket bucket = ToKernel({8, uint64_t{8} * (UINT32_MAX - 1)});
  EXPECT_EQ(bucket.rate, 1u);
  EXPECT_EQ(bucket.buffer, UINT32_MAX);
  EXPECT_EQ(bucket.limit, UINT32_MAX - 1);
}

// The reference build gives the same name: tests/cni, results.bandwidth_makes_the_same_buckets.
TEST(TrafficControl, NamesFitAnInterface) {
  EXPECT_EQ(HashedName("bwp", "netalways-the-same"), "bwpc1dd0337a728");
  EXPECT_EQ(HashedName("bwp", "").size(), 15u);
}

}  // namespace
}  // namespace berth::cni
