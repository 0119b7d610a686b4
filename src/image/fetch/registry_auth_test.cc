// SPDX-License-Identifier: Apache-2.0
// Challenges, tokens and redirects of scripted servers, some of them after our credentials.
#include "image/fetch/registry_fixture.h"

// Only the fields that matter are named.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace berth::image::fetch {
namespace {

using testing::HasSubstr;

TEST_F(RegistryTest, UsesBasicCredentialsWhenAsked) {
  registry_.Push("app", "1", image_);
  registry_.Guard([](const FakeRequest& r) -> FakeAnswer {
    const auto found = r.headers.find("authorization");
    if (found != r.headers.end() && found->second == "Basic dTpw") return {0, {}, ""};
    return {401, {{"WWW-Authenticate", "Basic realm=\"r\""}}, ""};
  });
  ExpectError(Resolve("app:1").error(), Code::kUnauthenticated, "401");
  EXPECT_TRUE(Resolve("app:1", {.username = "u", .password = "p"}));
  EXPECT_TRUE(Resolve("app:1", {.auth = "dTpw"}));
  ExpectError(Resolve("app:1", {.username = "u", .password = "bad"}).error(),
              Code::kUnauthenticated, "401");
  ExpectError(Resolve("app:1", {.auth = "%%%%"}).error(), Code::kInvalidArgument, "base64");
}

TEST_F(RegistryTest, FetchesABearerTokenForPullOnly) {
  registry_.Push("app", "1", image_);
  registry_.Handle("/token", [](const FakeRequest& r) -> FakeAnswer {
    EXPECT_EQ(r.target, "/token?service=s%20x&scope=repository%3Aapp%3Apull");
    EXPECT_EQ(r.headers.at("authorization"), "Basic dTpw");
    return {200, {}, "{\"token\":\"abc.def\"}"};
  });
  registry_.Guard([&](const FakeRequest& r) -> FakeAnswer {
    if (r.target.starts_with("/token")) return {0, {}, ""};
    const auto found = r.headers.find("authorization");
    if (found != r.headers.end() && found->second == "Bearer abc.def") return {0, {}, ""};
    return {401,
            {{"WWW-Authenticate",
              StrCat("Bearer realm=\"http://", registry_.host(),
                     "/token\",service=\"s x\",scope=\"repository:app:pull,push\"")}},
            ""};
  });
  auto image = Resolve("app:1", {.username = "u", .password = "p"});
  ASSERT_TRUE(image) << image.error().message();
  const size_t before = registry_.requests().size();
  EXPECT_TRUE(Blob(*image, 0));
  EXPECT_EQ(registry_.requests().size(), before + 1);  // the token is kept
}

TEST_F(RegistryTest, BoundsTheChallengeLoopAndTheTokenAnswer) {
  bool endless = false;
  int count = 0;
  registry_.Guard([&](const FakeRequest& r) -> FakeAnswer {
    if (r.target.starts_with("/token")) {
      if (endless) return {200, {}, std::string(65536, ' '), true};
      return {200, {}, StrCat("{\"token\":\"t", ++count, "\"}")};
    }
    return {401,
            {{"WWW-Authenticate", StrCat("Bearer realm=\"http://", registry_.host(), "/token\"")}},
            ""};
  });
  ExpectError(Resolve("app:1").error(), Code::kUnauthenticated, "401");
  EXPECT_LE(registry_.requests().size(), 5U);
  endless = true;
  ExpectError(Resolve("app:1").error(), Code::kResourceExhausted, "larger than 1048576");
}

TEST_F(RegistryTest, NeverFollowsATokenServiceElsewhere) {
  registry_.Guard([&](const FakeRequest& r) -> FakeAnswer {
    if (r.target.starts_with("/token")) {
      return {307, {{"Location", StrCat("http://", other_.host(), "/token")}}, ""};
    }
    return {401,
            {{"WWW-Authenticate", StrCat("Bearer realm=\"http://", registry_.host(), "/token\"")}},
            ""};
  });
  ExpectError(Resolve("app:1", {.username = "u", .password = "p"}).error(), Code::kUnknown, "307");
  EXPECT_TRUE(other_.requests().empty());
}

TEST_F(RegistryTest, KeepsAuthorizationFromRedirectTargets) {
  registry_.Push("app", "1", image_);
  other_.Set("/store", {200, {}, "layer one"});
  registry_.Guard([&](const FakeRequest& r) -> FakeAnswer {
    if (!r.headers.contains("authorization")) {
      return {401, {{"WWW-Authenticate", "Basic realm=r"}}, ""};
    }
    if (r.target.find(image_.blob_digests[0]) == std::string::npos) return {0, {}, ""};
    return {307, {{"Location", StrCat("http://", other_.host(), "/store?secret=1")}}, ""};
  });
  auto image = Resolve("app:1", {.username = "u", .password = "p"});
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(*Blob(*image, 0), "layer one");
  EXPECT_EQ(other_.requests().size(), 1U);
  EXPECT_FALSE(SawAuthorization(other_));
  // It may ask for credentials as much as it likes, and its query stays out of the message.
  other_.Set("/store", {401, {{"WWW-Authenticate", "Basic realm=r"}}, ""});
  ExpectError(Blob(*image, 0).error(), Code::kUnauthenticated, "401");
  EXPECT_FALSE(SawAuthorization(other_));
}

TEST_F(RegistryTest, StopsAfterTenRedirects) {
  int count = 0;
  registry_.Guard([&](const FakeRequest&) -> FakeAnswer {
    ++count;
    return {302, {{"Location", "/again"}}, ""};
  });
  ExpectError(Resolve("app:1").error(), Code::kFailedPrecondition, "more than 10 redirects");
  EXPECT_EQ(count, 11);
}

TEST_F(RegistryTest, KeepsCredentialsFromMirrors) {
  for (FakeRegistry* r : {&registry_, &other_}) {
    r->Guard([](const FakeRequest&) -> FakeAnswer {
      return {401, {{"WWW-Authenticate", "Basic realm=r"}}, ""};
    });
  }
  (void)Resolve("app:1", {.username = "u", .password = "p"}, {Plain(other_.host(), false)});
  EXPECT_FALSE(SawAuthorization(other_));
  EXPECT_TRUE(SawAuthorization(registry_));
}

}  // namespace
}  // namespace berth::image::fetch
