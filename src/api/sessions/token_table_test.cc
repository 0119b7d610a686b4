// SPDX-License-Identifier: Apache-2.0
#include "api/sessions/token_table.h"

#include <gtest/gtest.h>

#include <set>

namespace berth::sessions {
namespace {

using namespace std::chrono_literals;
using stream::Kind;

Session Exec(const std::string& id) {
  pod::ExecOptions options;
  options.container_id = id;
  return options;
}

TEST(Base64Url, IsRfc4648WithoutPadding) {
  EXPECT_EQ(Base64Url(""), "");
  EXPECT_EQ(Base64Url("f"), "Zg");
  EXPECT_EQ(Base64Url("fo"), "Zm8");
  EXPECT_EQ(Base64Url("foo"), "Zm9v");
  EXPECT_EQ(Base64Url("foob"), "Zm9vYg");
  EXPECT_EQ(Base64Url("\xfb\xff\xfe"), "-__-");
}

TEST(TokenTable, Rule31TokenIsOf128BitsAndGoodOnce) {
  ManualClock clock;
  TokenTable table(clock);
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) seen.insert(*table.Issue(Exec("c")));
  EXPECT_EQ(seen.size(), 100U);
  for (const std::string& token : seen) EXPECT_EQ(token.size(), 22U);
  const std::string token = *table.Issue(Exec("mine"));
  Result<Session> session = table.Redeem(Kind::kExec, token);
  ASSERT_TRUE(session) << session.error().message();
  EXPECT_EQ(std::get<pod::ExecOptions>(*session).container_id, "mine");
  Result<Session> again = table.Redeem(Kind::kExec, token);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kNotFound);
  EXPECT_EQ(again.error().message(), "the token is not known, was used, or is older than a minute");
}

TEST(TokenTable, WrongVerbUsesTheTokenUp) {
  ManualClock clock;
  TokenTable table(clock);
  const std::string token = *table.Issue(Exec("c"));
  EXPECT_EQ(table.Redeem(Kind::kAttach, token).error().code(), Code::kNotFound);
  EXPECT_EQ(table.Redeem(Kind::kExec, token).error().code(), Code::kNotFound);
  EXPECT_EQ(table.size(), 0U);
  const std::string forward = *table.Issue(pod::PortForwardOptions{"p", {80}});
  EXPECT_TRUE(table.Redeem(Kind::kPortForward, forward));
}

TEST(TokenTable, Rule31TokenEndsAfterAMinute) {
  ManualClock clock;
  TokenTable table(clock);
  const std::string first = *table.Issue(Exec("a"));
  clock.Advance(30s);
  const std::string second = *table.Issue(Exec("b"));
  clock.Advance(29s);
  const std::string third = *table.Issue(Exec("c"));
  EXPECT_TRUE(table.Redeem(Kind::kExec, third));
  clock.Advance(1s);
  EXPECT_EQ(table.Redeem(Kind::kExec, first).error().code(), Code::kNotFound);
  EXPECT_TRUE(table.Redeem(Kind::kExec, second));
}

TEST(TokenTable, Rule31AThousandAreOutAtMost) {
  ManualClock clock;
  TokenTable table(clock);
  std::string last;
  for (size_t i = 0; i < TokenTable::kMost; ++i) last = *table.Issue(Exec("c"));
  Result<std::string> more = table.Issue(Exec("c"));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(more.error().message(), "too many streaming requests wait for their clients: 1000");
  ASSERT_TRUE(table.Redeem(Kind::kExec, last));
  EXPECT_TRUE(table.Issue(Exec("c")));
  EXPECT_FALSE(table.Issue(Exec("c")));
  clock.Advance(1min);
  EXPECT_TRUE(table.Issue(Exec("c")));
  EXPECT_EQ(table.size(), 1U);
}

}  // namespace
}  // namespace berth::sessions
