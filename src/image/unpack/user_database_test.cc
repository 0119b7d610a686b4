// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/user_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace berth::image::unpack {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kPasswd =
    "# comment\n"
    "root:x:0:0:root:/root:/bin/sh\n"
    "1000:x:0:0:trap:/trap:/bin/sh\n"
    "+::::::\n"
    "app:x:1000:1001::/home/app:/bin/sh\n"
    "nohome:x:1002:1002:::/bin/sh\n"
    "broken:x:zero:0::/:/bin/sh\n"
    "huge:x:4294967296:0::/:/bin/sh\n"
    "last:x:7:8::/l";
constexpr std::string_view kGroup =
    "root:x:0:\n"
    "wheel:x:10:root,app\n"
    "app:x:1001:\n"
    "extra:x:20:other,app\n"
    "bad:x:many:badmember\n";

UserQuery Query(std::string user) {
  UserQuery query;
  query.user = std::move(user);
  return query;
}

Result<ResolvedUser> Resolve(const UserQuery& query) { return ResolveUser(kPasswd, kGroup, query); }

TEST(UserDatabaseTest, AnEmptyUserIsRoot) {
  auto user = Resolve(Query(""));
  ASSERT_TRUE(user) << user.error().message();
  EXPECT_EQ(user->uid, 0U);
  EXPECT_EQ(user->username, "root");
  EXPECT_EQ(user->home, "/root");
  EXPECT_THAT(user->additional_gids, ElementsAre(0, 10));
}

TEST(UserDatabaseTest, DigitsAreAUidAndNeverAName) {
  auto user = Resolve(Query("1000"));
  ASSERT_TRUE(user);
  EXPECT_EQ(user->uid, 1000U);
  EXPECT_EQ(user->gid, 1001U);
  EXPECT_EQ(user->username, "app");
  EXPECT_EQ(user->home, "/home/app");
  EXPECT_THAT(user->additional_gids, ElementsAre(1001, 10, 20));
}

TEST(UserDatabaseTest, AUidThatTheImageDoesNotKnowHasGroupZeroAndNoName) {
  auto user = Resolve(Query("4242"));
  ASSERT_TRUE(user);
  EXPECT_EQ(user->gid, 0U);
  EXPECT_EQ(user->username, "");
  EXPECT_EQ(user->home, "/");
  EXPECT_THAT(user->additional_gids, ElementsAre(0));
}

TEST(UserDatabaseTest, GroupsByNameAndNumber) {
  EXPECT_EQ(Resolve(Query("app:wheel"))->gid, 10U);
  EXPECT_EQ(Resolve(Query("app:77"))->gid, 77U);
  EXPECT_THAT(Resolve(Query("app:77"))->additional_gids, ElementsAre(77, 10, 20));
  EXPECT_EQ(Resolve(Query("nohome"))->home, "/");
  EXPECT_EQ(Resolve(Query("last"))->home, "/l");
}

TEST(UserDatabaseTest, RefusesWhatIsNoUser) {
  const struct {
    const char* user;
    Code code;
  } kCases[] = {
      {"2147483648", Code::kInvalidArgument},
      {"4294967296", Code::kInvalidArgument},
      {"4294967295", Code::kInvalidArgument},
      {"99999999999999999999", Code::kInvalidArgument},
      {"1:4294967296", Code::kInvalidArgument},
      {":5", Code::kInvalidArgument},
      {"1:", Code::kInvalidArgument},
      {"1:2:3", Code::kInvalidArgument},
      {"-1", Code::kNotFound},
      {"1e3", Code::kNotFound},
      {"0x0", Code::kNotFound},
      {" 1", Code::kNotFound},
      {"nobody", Code::kNotFound},
      {"app:nogroup", Code::kNotFound},
      {"broken", Code::kDataLoss},
      {"huge", Code::kDataLoss},
  };
  for (const auto& c : kCases) {
    auto user = Resolve(Query(c.user));
    ASSERT_FALSE(user) << c.user;
    EXPECT_EQ(user.error().code(), c.code) << c.user << ": " << user.error().message();
  }
}

TEST(UserDatabaseTest, TheRequestWinsOverTheImageWithItsGroup) {
  UserQuery query = Query("root:wheel");
  query.uid = 1000;
  EXPECT_EQ(Resolve(query)->gid, 1001U);
  query.gid = 5;
  auto user = Resolve(query);
  EXPECT_EQ(user->gid, 5U);
  EXPECT_THAT(user->additional_gids, ElementsAre(5, 10, 20));
  query.uid = -1;
  EXPECT_EQ(Resolve(query).error().code(), Code::kInvalidArgument);
  query.uid = int64_t{1} << 31;
  EXPECT_EQ(Resolve(query).error().code(), Code::kInvalidArgument);
}

TEST(UserDatabaseTest, AUserNameMustExist) {
  UserQuery query;
  query.username = "app";
  EXPECT_EQ(Resolve(query)->uid, 1000U);
  // Digits in run_as_username are a name.
  query.username = "1000";
  EXPECT_EQ(Resolve(query)->uid, 0U);
  query.username = "ghost";
  auto ghost = Resolve(query);
  EXPECT_EQ(ghost.error().code(), Code::kNotFound);
  EXPECT_THAT(ghost.error().message(), HasSubstr("ghost"));
}

TEST(UserDatabaseTest, StrictLeavesOutMembershipsAndKeepsThePrimaryGroup) {
  UserQuery query = Query("app");
  query.strict_groups = true;
  query.supplemental_groups = {1001, 3, 3};
  EXPECT_THAT(Resolve(query)->additional_gids, ElementsAre(1001, 3));
  query.strict_groups = false;
  EXPECT_THAT(Resolve(query)->additional_gids, ElementsAre(1001, 10, 20, 3));
  query.supplemental_groups = {-1};
  EXPECT_EQ(Resolve(query).error().code(), Code::kInvalidArgument);
}

TEST(UserDatabaseTest, ABrokenGroupOfTheUserIsAnErrorAndOthersAreNot) {
  EXPECT_EQ(ResolveUser("badmember:x:1:1::/:/\n", kGroup, Query("badmember")).error().code(),
            Code::kDataLoss);
}

TEST(UserDatabaseTest, AHomeWithControlCharactersIsRefused) {
  for (std::string home : {std::string("/a\rb"), std::string("/a\0b", 4), std::string("/\x7f")}) {
    auto user = ResolveUser("u:x:1:1::" + home + ":/bin/sh\n", "", Query("u"));
    EXPECT_FALSE(user);
  }
  EXPECT_EQ(ResolveUser("u:x:1:1::/a\\nb:/\n", "", Query("u"))->home, "/a\\nb");
}

}  // namespace
}  // namespace berth::image::unpack
