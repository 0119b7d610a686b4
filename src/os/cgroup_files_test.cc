// SPDX-License-Identifier: Apache-2.0
#include "os/cgroup_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace berth::os {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(CgroupFiles, ANumberOrMax) {
  EXPECT_EQ(ParseCgroupNumber("4096\n")->value(), 4096U);
  EXPECT_EQ(ParseCgroupNumber("18446744073709551615\n")->value(), UINT64_MAX);
  EXPECT_FALSE(ParseCgroupNumber("max\n")->has_value());
  for (const char* bad : {"", "\n", "-1", "1 2", "maximum", "18446744073709551616", "0x10"}) {
    auto number = ParseCgroupNumber(bad);
    ASSERT_FALSE(number) << bad;
    EXPECT_EQ(number.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(number.error().message(), HasSubstr("control group number: malformed line"));
  }
}

TEST(CgroupFiles, FlatKeyedLines) {
  std::map<std::string, uint64_t> seen;
  auto each = [&](std::string_view key, uint64_t value) { seen[std::string(key)] = value; };
  ASSERT_TRUE(ParseFlatKeyed("usage_usec 12\nnr_periods 0\n", each));
  EXPECT_EQ(seen, (std::map<std::string, uint64_t>{{"usage_usec", 12}, {"nr_periods", 0}}));
  for (const char* bad : {"usage_usec\n", " 1\n", "a b\n", "a 1 2\n", "a -1\n"}) {
    auto parsed = ParseFlatKeyed(bad, each);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_THAT(parsed.error().message(), HasSubstr("control group file: malformed line"));
  }
}

TEST(CgroupFiles, Pressure) {
  auto pressure = ParsePressure(
      "some avg10=1.53 avg60=0.87 avg300=100.00 total=279610843\n"
      "full avg10=0.00 avg60=0.05 avg300=0.00 total=7\n");
  ASSERT_TRUE(pressure) << pressure.error().message();
  EXPECT_DOUBLE_EQ(pressure->some.avg10, 1.53);
  EXPECT_DOUBLE_EQ(pressure->some.avg300, 100);
  EXPECT_EQ(pressure->some.total_us, 279610843U);
  EXPECT_DOUBLE_EQ(pressure->full.avg60, 0.05);
  EXPECT_EQ(pressure->full.total_us, 7U);
  // Before Linux 5.13 a CPU's pressure has no "full".
  EXPECT_EQ(ParsePressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=3\n")->full.total_us, 0U);
  for (const char* bad :
       {"most avg10=0.00\n", "some avg10=1\n", "some avg10=1e9\n", "some total=x\n"})
    EXPECT_FALSE(ParsePressure(bad)) << bad;
}

TEST(CgroupFiles, IoStatOfV2) {
  auto io = ParseIoStat(
      "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n"
      "254:0 8:0 rbytes=5 wbytes=0 rios=1 wios=0 cost.usage=3 cost.mode=auto\n"
      "7:1 \n");
  ASSERT_TRUE(io) << io.error().message();
  ASSERT_EQ(io->size(), 2U);
  EXPECT_EQ((*io)[0].major, 8U);
  EXPECT_EQ((*io)[0].minor, 16U);
  EXPECT_EQ((*io)[0].read_bytes, 1459200U);
  EXPECT_EQ((*io)[0].write_bytes, 314773504U);
  EXPECT_EQ((*io)[0].reads, 192U);
  EXPECT_EQ((*io)[0].writes, 353U);
  EXPECT_EQ((*io)[1].minor, 0U);
  EXPECT_EQ((*io)[1].read_bytes, 5U);
  EXPECT_THAT(*ParseIoStat(""), IsEmpty());
  for (const char* bad : {"8 rbytes=1\n", "rbytes=1\n", "8:x rbytes=1\n"}) {
    auto parsed = ParseIoStat(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_THAT(parsed.error().message(), HasSubstr("io.stat: malformed line"));
  }
}

TEST(CgroupFiles, BlkioOfV1) {
  auto io = ParseBlkio("8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 0\n8:0 Total 12288\nTotal 12288\n",
                       "8:0 Read 1\n8:0 Write 2\n8:16 Read 9\nTotal 12\n");
  ASSERT_TRUE(io) << io.error().message();
  ASSERT_EQ(io->size(), 2U);
  EXPECT_EQ((*io)[0].read_bytes, 4096U);
  EXPECT_EQ((*io)[0].write_bytes, 8192U);
  EXPECT_EQ((*io)[0].reads, 1U);
  EXPECT_EQ((*io)[0].writes, 2U);
  EXPECT_EQ((*io)[1].reads, 9U);
  EXPECT_THAT(*ParseBlkio("Total 0\n", "Total 0\n"), IsEmpty());
  EXPECT_FALSE(ParseBlkio("8:0 Read\n", ""));
  EXPECT_FALSE(ParseBlkio("", "sda Read 1\n"));
}

TEST(CgroupFiles, Pids) {
  EXPECT_THAT(*ParsePids("7\n3\n7\n0\n"), ElementsAre(3, 7));
  EXPECT_FALSE(ParsePids("x\n"));
  EXPECT_FALSE(ParsePids("99999999999\n"));
}

}  // namespace
}  // namespace berth::os
