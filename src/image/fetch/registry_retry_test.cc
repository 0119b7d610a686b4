// SPDX-License-Identifier: Apache-2.0
// Servers that fail for a while, and transfers that break off.
#include <atomic>

#include "image/fetch/registry_fixture.h"

// Only the fields that matter are named.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace berth::image::fetch {
namespace {

using testing::HasSubstr;

class RetryTest : public RegistryTest {
 protected:
  RetryTest() {
    for (int i = 0; i < 5000; ++i) large_ += static_cast<char>('a' + i % 23);
    image_ = MakeImageDocuments({large_, "layer two"});
    registry_.Push("app", "1", image_);
    path_ = "/v2/app/blobs/" + image_.blob_digests[0];
  }
  // The blob as a server with Range support sends it, cut after `bytes`.
  FakeAnswer Part(const FakeRequest& r, size_t bytes) {
    const auto range = r.headers.find("range");
    if (range == r.headers.end()) return {200, {}, large_, false, bytes};
    const size_t from = std::stoul(range->second.substr(6));
    return {206,
            {{"Content-Range", StrCat("bytes ", from, "-", large_.size() - 1, "/", large_.size())}},
            large_.substr(from),
            false,
            bytes};
  }
  size_t Requests(const std::string& path) {
    size_t count = 0;
    for (const FakeRequest& r : registry_.requests())
      if (r.target.starts_with(path)) ++count;
    return count;
  }
  std::string large_, path_;
};

TEST_F(RetryTest, AskAgainWhenAServerIsBusyOrBroken) {
  for (int status : {429, 500, 502, 503}) {
    std::atomic<int> failures = 2;
    registry_.Guard([&](const FakeRequest&) -> FakeAnswer {
      if (failures-- > 0) return {status, {{"Retry-After", "0"}}, ""};
      return {0, {}, ""};
    });
    EXPECT_TRUE(Resolve("app:1")) << status;
    EXPECT_LT(failures, 0);
  }
}

TEST_F(RetryTest, WaitAsLongAsRetryAfterSays) {
  std::atomic<int> failures = 1;
  registry_.Guard([&](const FakeRequest&) -> FakeAnswer {
    if (failures-- > 0) return {429, {{"Retry-After", "1"}}, ""};
    return {0, {}, ""};
  });
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(Resolve("app:1"));
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(1000));
}

TEST_F(RetryTest, GiveUpAfterFourRoundsAndNeverRepeatARefusal) {
  registry_.Guard([&](const FakeRequest&) -> FakeAnswer { return {503, {}, ""}; });
  ExpectError(Resolve("app:1").error(), Code::kUnavailable, "RegistryUnavailable: ");
  EXPECT_EQ(registry_.requests().size(), 4U);
  registry_.Guard([&](const FakeRequest&) -> FakeAnswer { return {403, {}, ""}; });
  ExpectError(Resolve("app:1").error(), Code::kPermissionDenied, "403");
  EXPECT_EQ(registry_.requests().size(), 5U);
}

TEST_F(RetryTest, ABlobThatBreaksOffGoesOnWhereItWas) {
  auto image = Resolve("app:1");
  ASSERT_TRUE(image);
  registry_.Handle(path_, [&](const FakeRequest& r) { return Part(r, 300); });
  auto blob = Blob(*image, 0);
  ASSERT_TRUE(blob) << blob.error().message();
  EXPECT_EQ(*blob, large_);
  EXPECT_GE(Requests(path_), large_.size() / 300);
}

TEST_F(RetryTest, ABlobGoesOnFromAServerWithoutRanges) {
  auto image = Resolve("app:1");
  ASSERT_TRUE(image);
  std::atomic<bool> first = true;
  registry_.Handle(path_, [&](const FakeRequest&) -> FakeAnswer {
    return {200, {}, large_, false, first.exchange(false) ? 1234 : ~size_t{0}};
  });
  EXPECT_EQ(*Blob(*image, 0), large_);
}

TEST_F(RetryTest, ABlobGoesOnFromTheNextServer) {
  other_.Push("app", "1", image_);
  auto image = Resolve("app:1", {}, {Plain(other_.host(), false)});
  ASSERT_TRUE(image);
  other_.Set(path_, {200, {}, large_, false, 1000});
  registry_.Handle(path_, [&](const FakeRequest& r) {
    EXPECT_EQ(r.headers.at("range"), "bytes=1000-");
    return Part(r, ~size_t{0});
  });
  EXPECT_EQ(*Blob(*image, 0), large_);
}

TEST_F(RetryTest, AMirrorThatLiesIsLeftForTheNextServer) {
  other_.Push("app", "1", image_);
  std::string wrong = large_;
  wrong[77] = '!';
  for (const FakeAnswer& lie :
       {FakeAnswer{200, {}, wrong}, FakeAnswer{200, {}, wrong, false, ~size_t{0}},
        FakeAnswer{200, {}, "<html>log in</html>"}, FakeAnswer{200, {}, large_ + "more"}}) {
    auto image = Resolve("app:1", {}, {Plain(other_.host(), false)});
    ASSERT_TRUE(image);
    other_.Set(path_, lie);
    auto blob = Blob(*image, 0);
    if (!blob) {
      ExpectError(blob.error(), Code::kDataLoss, StrCat("mirror http://", other_.host()));
      EXPECT_THAT(blob.error().message(), testing::EndsWith(kAskAgain));
      blob = Blob(*image, 0);
    }
    ASSERT_TRUE(blob) << blob.error().message();
    EXPECT_EQ(*blob, large_);
  }
}

TEST_F(RetryTest, ALieThatTheReaderStoppedOverIsFoundOut) {
  other_.Push("app", "1", image_);
  auto image = Resolve("app:1", {}, {Plain(other_.host(), false)});
  ASSERT_TRUE(image);
  const auto stream = [&] {
    return content_->StreamBlob(
        image->manifest.layers[0].descriptor,
        [](std::string_view) -> Result<> { return Error(Code::kAborted, "its reader went away"); });
  };
  EXPECT_EQ(stream().error().code(), Code::kAborted);  // the bytes were right
  std::string wrong = large_;
  wrong[4999] = '!';
  other_.Set(path_, {200, {}, wrong});
  auto lied = stream();
  ExpectError(lied.error(), Code::kDataLoss, "wrong content");
  EXPECT_THAT(lied.error().message(), testing::EndsWith(kAskAgain));
  ExpectError(stream().error(), Code::kAborted, "its reader went away");
  EXPECT_EQ(Requests(path_), 1U);
}

TEST_F(RetryTest, LiesAboutRangesAreDataLoss) {
  auto image = Resolve("app:1");
  ASSERT_TRUE(image);
  std::string range = "bytes 0-4999/5000", rest = large_;
  registry_.Handle(path_, [&](const FakeRequest& r) -> FakeAnswer {
    if (!r.headers.contains("range")) return {200, {}, large_, false, 1000};
    return {206, {{"Content-Range", range}}, rest};
  });
  ExpectError(Blob(*image, 0).error(), Code::kDataLoss, "asked for bytes from 1000");
  // The header is right and the bytes are not.
  range = "bytes 1000-4999/5000";
  rest = large_.substr(0, 4000);
  ExpectError(Blob(*image, 0).error(), Code::kDataLoss, "wrong content");
  rest = large_;
  ExpectError(Blob(*image, 0).error(), Code::kDataLoss, "longer than the 5000 bytes");
  registry_.Handle(path_, [&](const FakeRequest& r) -> FakeAnswer {
    if (!r.headers.contains("range")) return {200, {}, large_, false, 1000};
    return {416, {}, ""};
  });
  ExpectError(Blob(*image, 0).error(), Code::kDataLoss, "shorter than its descriptor says");
  registry_.Handle(path_, [&](const FakeRequest&) -> FakeAnswer { return {206, {}, large_}; });
  ExpectError(Blob(*image, 0).error(), Code::kInvalidArgument, "nobody asked for");
}

TEST_F(RetryTest, WrongContentIsNotAskedForAgain) {
  auto image = Resolve("app:1");
  ASSERT_TRUE(image);
  std::string wrong = large_;
  wrong[77] = '!';
  registry_.Set(path_, {200, {}, wrong});
  ExpectError(Blob(*image, 0).error(), Code::kDataLoss, "wrong content");
  EXPECT_EQ(Requests(path_), 1U);
}

TEST_F(RetryTest, AnIdentityTokenIsPostedToTheTokenServiceOnly) {
  registry_.Guard([&](const FakeRequest& r) -> FakeAnswer {
    if (r.target.starts_with("/token")) {
      if (r.method != "POST") return {405, {}, ""};
      EXPECT_THAT(r.body, HasSubstr("grant_type=refresh_token"));
      EXPECT_THAT(r.body, HasSubstr("refresh_token=secret%2Ftoken"));
      EXPECT_THAT(r.body, HasSubstr("scope=repository%3Aapp%3Apull"));
      return {200, {}, "{\"access_token\":\"fresh\"}"};
    }
    const auto found = r.headers.find("authorization");
    if (found != r.headers.end() && found->second == "Bearer fresh") return {0, {}, ""};
    EXPECT_TRUE(found == r.headers.end());
    return {401,
            {{"WWW-Authenticate",
              StrCat("Bearer realm=\"http://", registry_.host(), "/token\",service=\"s\"")}},
            ""};
  });
  auto image = Resolve("app:1", {.identity_token = "secret/token"});
  EXPECT_TRUE(image) << image.error().message();
}

TEST_F(RetryTest, AServiceThatKnowsOnlyPostGetsThePasswordGrant) {
  registry_.Guard([&](const FakeRequest& r) -> FakeAnswer {
    if (r.target.starts_with("/token")) {
      if (r.method != "POST") return {405, {}, ""};
      EXPECT_THAT(r.body, HasSubstr("grant_type=password&username=u&password=p%20w"));
      return {200, {}, "{\"access_token\":\"fresh\"}"};
    }
    const auto found = r.headers.find("authorization");
    if (found != r.headers.end() && found->second == "Bearer fresh") return {0, {}, ""};
    return {401,
            {{"WWW-Authenticate", StrCat("Bearer realm=\"http://", registry_.host(), "/token\"")}},
            ""};
  });
  EXPECT_TRUE(Resolve("app:1", {.username = "u", .password = "p w"}));
}

TEST_F(RetryTest, ARegistryTokenIsUsedAsItIs) {
  registry_.Guard([&](const FakeRequest& r) -> FakeAnswer {
    const auto found = r.headers.find("authorization");
    if (found != r.headers.end() && found->second == "Bearer given") return {0, {}, ""};
    return {401, {{"WWW-Authenticate", "Bearer realm=\"http://127.0.0.1/token\""}}, ""};
  });
  EXPECT_TRUE(Resolve("app:1", {.registry_token = "given"}));
  ExpectError(Resolve("app:1", {.registry_token = "old"}).error(), Code::kUnauthenticated, "401");
}

}  // namespace
}  // namespace berth::image::fetch
