// SPDX-License-Identifier: Apache-2.0
#include "api/admin/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "api/admin/protocol.h"
#include "base/strings.h"

namespace berth::api::admin {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

image::PullStatus Pull(const std::string& reference, uint64_t received) {
  return {.reference = reference,
          .seconds = 7,
          .waiting = 2,
          .received_bytes = received,
          .total_bytes = 1000,
          .layers_done = 1,
          .layers = 3};
}

TEST(PullMetricsTest, EachImageHasOneSeries) {
  const std::vector<image::PullStatus> pulls = {Pull("a.test/x:1", 10), Pull("a.test/x:1", 20),
                                                Pull("a.test/y:1", 5)};
  const std::vector<std::string> lines =
      PullMetrics(pulls, {.done = 4, .failed = 2, .cancelled = 1, .received_bytes = 12345});
  for (const char* line :
       {"berth_image_pulls_total{result=\"done\"} 4",
        "berth_image_pulls_total{result=\"failed\"} 2",
        "berth_image_pulls_total{result=\"cancelled\"} 1",
        "berth_image_pull_received_bytes_total 12345", "berth_image_pulls_running 3",
        "berth_image_pull_received_bytes{image=\"a.test/x:1\"} 30",
        "berth_image_pull_size_bytes{image=\"a.test/x:1\"} 2000",
        "berth_image_pull_layers_done{image=\"a.test/y:1\"} 1",
        "berth_image_pull_layers{image=\"a.test/y:1\"} 3",
        "berth_image_pull_seconds{image=\"a.test/x:1\"} 7",
        "# TYPE berth_image_pulls_total counter"})
    EXPECT_EQ(std::count(lines.begin(), lines.end(), line), 1) << line;
}

TEST(PullMetricsTest, VeryManyImagesFitIntoAnAnswer) {
  std::vector<image::PullStatus> pulls;
  for (int i = 0; i < 1000; ++i)
    pulls.push_back(
        Pull(StrCat("registry.test/", std::string(230, 'r'), i, ":", std::string(120, 't')), 1));
  const std::vector<std::string> lines = PullMetrics(pulls, {});
  EXPECT_THAT(lines, Contains("berth_image_pulls_running 1000"));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("rrr999:"))));
  EXPECT_LT(Encode(Answer{.code = Code::kOk, .message = "", .lines = lines}).size(), kMessageLimit);
}

}  // namespace
}  // namespace berth::api::admin
