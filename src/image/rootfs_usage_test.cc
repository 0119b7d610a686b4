// SPDX-License-Identifier: Apache-2.0
#include "image/rootfs_usage.h"

#include <gtest/gtest.h>

#include <string>

#include "base/strings.h"

namespace berth::image {
namespace {

// A clock that goes on by `step` each time that it is asked.
class SteppingClock final : public Clock {
 public:
  int64_t WallNanos() const override { return 1'700'000'000'000'000'000 + now_.count(); }
  std::chrono::nanoseconds Monotonic() const override { return now_ += step; }
  void Advance(std::chrono::nanoseconds by) { now_ += by; }
  std::chrono::nanoseconds step{0};

 private:
  mutable std::chrono::nanoseconds now_{std::chrono::seconds(1)};
};

class RootfsUsageTest : public ::testing::Test {
 protected:
  void Make(const std::string& id) {
    ASSERT_TRUE(temp_.dir().MakeDir(id, 0700));
    ASSERT_TRUE(temp_.dir().MakeDir(id + "/diff", 0700));
  }
  void Write(const std::string& path, size_t bytes) {
    ASSERT_TRUE(temp_.dir().WriteFile(path, std::string(bytes, 'x'), 0600));
  }
  os::TempDir temp_ = std::move(*os::TempDir::Make());
  SteppingClock clock_;
  RootfsUsageMeter meter_{temp_.dir(), clock_};
};

TEST_F(RootfsUsageTest, MeasuredAtOnceAndAgainAfterTenSeconds) {
  Make("a");
  auto first = meter_.Read({"a"});
  ASSERT_TRUE(first.contains("a"));
  EXPECT_EQ(first["a"].inodes, 1U);
  EXPECT_GT(first["a"].timestamp, 0);
  Write("a/diff/file", 100'000);
  clock_.Advance(std::chrono::milliseconds(9'900));
  auto kept = meter_.Read({"a"});
  EXPECT_EQ(kept["a"].inodes, 1U);
  EXPECT_EQ(kept["a"].timestamp, first["a"].timestamp);
  clock_.Advance(std::chrono::milliseconds(200));
  auto second = meter_.Read({"a"});
  EXPECT_EQ(second["a"].inodes, 2U);
  EXPECT_GE(second["a"].used_bytes, first["a"].used_bytes + 100'000);
  EXPECT_GT(second["a"].timestamp, first["a"].timestamp);
}

TEST_F(RootfsUsageTest, AListWalksForALimitedTimeTheLongestOverdueFirst) {
  for (const char* id : {"a", "b", "c"}) Make(id);
  clock_.step = std::chrono::milliseconds(30);
  EXPECT_EQ(meter_.Read({"a", "b", "c"}).size(), 1U);
  EXPECT_EQ(meter_.Read({"a", "b", "c"}).size(), 2U);
  EXPECT_EQ(meter_.Read({"a", "b", "c"}).size(), 3U);
}

TEST_F(RootfsUsageTest, ALargeTreeIsWalkedLessOften) {
  Make("a");
  clock_.step = std::chrono::seconds(1);  // a walk takes a second
  meter_.Read({"a"});
  clock_.step = std::chrono::seconds(0);
  Write("a/diff/file", 1);
  clock_.Advance(std::chrono::seconds(40));
  EXPECT_EQ(meter_.Read({"a"})["a"].inodes, 1U);
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_EQ(meter_.Read({"a"})["a"].inodes, 2U);
}

TEST_F(RootfsUsageTest, WhatIsNotThereHasNoFigures) {
  EXPECT_TRUE(meter_.Read({"none"}).empty());
  Make("a");
  ASSERT_EQ(meter_.Read({"a"}).size(), 1U);
  ASSERT_TRUE(temp_.dir().RemoveTree("a"));
  meter_.Forget("a");
  EXPECT_TRUE(meter_.Read({"a"}).empty());
}

}  // namespace
}  // namespace berth::image
