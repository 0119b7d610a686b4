// SPDX-License-Identifier: Apache-2.0
#include "api/admin/protocol.h"

#include <gtest/gtest.h>

namespace berth::api::admin {
namespace {

TEST(AdminProtocolTest, RequestAndAnswerComeBackAsTheyWere) {
  Result<Request> request = DecodeRequest(Encode(Request{Verb::kImportImage, "example.com/a:1"}));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->name, "example.com/a:1");
  request = DecodeRequest(Encode(Request{Verb::kVerifyImages, "", true}));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->verb, Verb::kVerifyImages);
  EXPECT_TRUE(request->heal);
  Result<Answer> answer = DecodeAnswer(Encode(Answer{Code::kNotFound, "no such", {"a", "b"}}));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code, Code::kNotFound);
  EXPECT_EQ(answer->message, "no such");
  EXPECT_EQ(answer->lines.size(), 2U);
}

TEST(AdminProtocolTest, ForeignBytesAreRefused) {
  std::string good = Encode(Request{});
  std::string other_version = good;
  other_version[0] = 9;
  EXPECT_NE(DecodeRequest(other_version).error().message().find("admin protocol 9"),
            std::string::npos);
  std::string other_verb = good;
  other_verb[4] = 77;
  EXPECT_NE(DecodeRequest(other_verb).error().message().find("admin verb 77"), std::string::npos);
  for (size_t cut = 0; cut < good.size(); ++cut) {
    Result<Request> request = DecodeRequest(std::string_view(good).substr(0, cut));
    ASSERT_FALSE(request);
    EXPECT_EQ(request.error().code(), Code::kInvalidArgument);
  }
  EXPECT_FALSE(DecodeRequest(good + "x"));
}

}  // namespace
}  // namespace berth::api::admin
