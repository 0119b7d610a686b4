// SPDX-License-Identifier: Apache-2.0
// The registry protocol against scripted servers, inside the test's own process.
#include "image/fetch/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "image/testing/fake_registry.h"

// Only the fields that matter are named.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace berth::image::fetch {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

RegistryEndpoint Plain(const std::string& host, bool origin = true) {
  RegistryEndpoint endpoint;
  endpoint.scheme = "http";
  endpoint.host = host;
  endpoint.path = "/v2";
  endpoint.origin = origin;
  return endpoint;
}

class RegistryTest : public testing::Test {
 protected:
  // The reference's own registry is the last server.
  Result<ResolvedImage> Resolve(const std::string& rest, Credentials credentials = {},
                                std::vector<RegistryEndpoint> mirrors = {}) {
    ResolveRequest request;
    request.reference = StrCat(registry_.host(), "/", rest);
    request.endpoints = std::move(mirrors);
    request.endpoints.push_back(Plain(registry_.host()));
    request.platform = {"linux", "amd64", "", ""};
    request.connect_timeout = std::chrono::seconds(2);
    request.stall_timeout = stall_;
    content_ = TRY(RegistryContent::Make(request, std::move(credentials), ""));
    Document root = TRY(content_->GetRoot());
    root_ = root.digest;
    return ResolveImage(*content_, std::move(root), request.platform);
  }
  Result<std::string> Blob(const ResolvedImage& image, size_t layer) {
    std::string bytes;
    TRY(content_->StreamBlob(image.manifest.layers[layer].descriptor,
                             [&](std::string_view part) -> Result<> {
                               bytes += part;
                               return Ok();
                             }));
    return bytes;
  }
  static void ExpectError(const Error& error, Code code, const std::string& fragment) {
    EXPECT_EQ(CodeName(error.code()), CodeName(code)) << error.message();
    EXPECT_THAT(error.message(), HasSubstr(fragment));
  }
  // Some request to `registry` carried Authorization.
  static bool SawAuthorization(const FakeRegistry& registry) {
    for (const FakeRequest& request : registry.requests()) {
      if (request.headers.contains("authorization")) return true;
    }
    return false;
  }

  FakeRegistry registry_, other_;
  FakeImageDocuments image_ = MakeImageDocuments({"layer one", "layer two"});
  std::chrono::milliseconds stall_{2000};
  std::unique_ptr<RegistryContent> content_;
  std::optional<oci::Digest> root_;
};

TEST_F(RegistryTest, FetchesAnOciImageByTag) {
  registry_.Push("app", "1", image_);
  auto image = Resolve("app:1");
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(image->config_json, image_.config);
  EXPECT_EQ(root_->str(), image_.manifest_digest);
  EXPECT_EQ(*Blob(*image, 0), "layer one");
  EXPECT_EQ(*Blob(*image, 1), "layer two");
  EXPECT_EQ(ToRemoteImage(*image).process.user, "1000");
}

TEST_F(RegistryTest, FetchesADockerSchema2ImageByDigest) {
  image_ = MakeImageDocuments({"x"}, true);
  registry_.Push("a/b", "1", image_);
  auto image = Resolve(StrCat("a/b@", image_.manifest_digest));
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(*Blob(*image, 0), "x");
}

TEST_F(RegistryTest, ChoosesThePlatformInAnIndex) {
  const auto arm = MakeImageDocuments({"arm layer"}, false, "arm64");
  registry_.Push("app", "arm", arm);
  registry_.Push("app", "amd", image_);
  const std::string index = MakeIndexDocument({{arm, "arm64"}, {image_, "amd64"}});
  registry_.Set("/v2/app/manifests/1",
                {200, {{"Content-Type", "application/vnd.oci.image.index.v1+json"}}, index});
  auto image = Resolve("app:1");
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(image->config_json, image_.config);
  EXPECT_EQ(*root_, Sha256::Of(index));
}

TEST_F(RegistryTest, RefusesAnIndexEntryOfAnotherTypeThanItSays) {
  registry_.Push("app", "amd", image_);
  std::string index = MakeIndexDocument({{image_, "amd64"}});
  index.replace(index.find("oci.image.manifest.v1"), 21, "docker.distribution.manifest.v2");
  registry_.Set("/v2/app/manifests/1", {200, {}, index});
  ExpectError(Resolve("app:1").error(), Code::kInvalidArgument, "where the index says");
}

TEST_F(RegistryTest, RefusesAManifestThatIsNotItsDigest) {
  registry_.Push("app", "1", image_);
  const std::string wrong = Sha256::Of("other").ToString();
  registry_.Set("/v2/app/manifests/" + wrong,
                {200, {{"Content-Type", image_.manifest_type}}, image_.manifest});
  ExpectError(Resolve("app@" + wrong).error(), Code::kDataLoss, "wrong content");
}

TEST_F(RegistryTest, RefusesAManifestThatContradictsItsDigestHeader) {
  registry_.Push("app", "1", image_);
  registry_.Set("/v2/app/manifests/1", {200,
                                        {{"Content-Type", image_.manifest_type},
                                         {"Docker-Content-Digest", Sha256::Of("other").ToString()}},
                                        image_.manifest});
  ExpectError(Resolve("app:1").error(), Code::kDataLoss, "where the registry says");
}

TEST_F(RegistryTest, RefusesAContentTypeThatContradictsTheDocument) {
  registry_.Push("app", "1", image_);
  registry_.Set(
      "/v2/app/manifests/1",
      {200, {{"Content-Type", "application/vnd.oci.image.index.v1+json"}}, image_.manifest});
  ExpectError(Resolve("app:1").error(), Code::kInvalidArgument, "");
}

TEST_F(RegistryTest, RefusesAConfigThatIsNotItsDigest) {
  registry_.Push("app", "1", image_);
  std::string other = image_.config;
  other[other.find("amd64")] = 'b';
  registry_.Set("/v2/app/blobs/" + image_.config_digest, {200, {}, other});
  ExpectError(Resolve("app:1").error(), Code::kDataLoss, "wrong content");
}

TEST_F(RegistryTest, RefusesBlobsOfTheWrongSizeOrContent) {
  registry_.Push("app", "1", image_);
  const std::string path = "/v2/app/blobs/" + image_.blob_digests[0];
  auto image = Resolve("app:1");
  ASSERT_TRUE(image);
  registry_.Set(path, {200, {}, "layer on"});
  ExpectError(Blob(*image, 0).error(), Code::kDataLoss, "8 bytes instead of 9");
  registry_.Set(path, {200, {}, "layer one!"});
  ExpectError(Blob(*image, 0).error(), Code::kDataLoss, "longer than the 9 bytes");
  registry_.Set(path, {200, {}, "Layer one"});
  ExpectError(Blob(*image, 0).error(), Code::kDataLoss, "wrong content");
  registry_.Set(path, {200, {}, "layer one", true});
  ExpectError(Blob(*image, 0).error(), Code::kDataLoss, "longer than");
  registry_.Set(path, {200, {}, "layer one", false, 4});
  ExpectError(Blob(*image, 0).error(), Code::kUnavailable, "RegistryUnavailable: ");
}

TEST_F(RegistryTest, StopsReadingEndlessDocuments) {
  registry_.Set("/v2/app/manifests/1", {200, {}, std::string(65536, 'x'), true});
  ExpectError(Resolve("app:1").error(), Code::kResourceExhausted, "larger than 4194304");
  registry_.Set("/v2/app/manifests/2", {500, {}, std::string(65536, 'x'), true});
  ExpectError(Resolve("app:2").error(), Code::kUnavailable, "HTTP status 500");
  registry_.Set("/v2/app/manifests/3", {200,
                                        {{"X", std::string(90'000, 'x')},
                                         {"Y", std::string(90'000, 'x')},
                                         {"Z", std::string(90'000, 'x')}},
                                        ""});
  ExpectError(Resolve("app:3").error(), Code::kResourceExhausted, "headers larger");
}

TEST_F(RegistryTest, GivesUpWhenNoByteMoves) {
  stall_ = std::chrono::milliseconds(1000);
  registry_.Set("/v2/app/manifests/1", {200, {}, "{\"schemaVersion\":2", false, 5, true});
  ExpectError(Resolve("app:1").error(), Code::kUnavailable, "no answer for 1 s");
}

TEST_F(RegistryTest, MapsStatusesToCodes) {
  ExpectError(Resolve("app:none").error(), Code::kNotFound, "manifest unknown");
  for (const auto& [status, code] : std::map<int, Code>{{401, Code::kUnauthenticated},
                                                        {403, Code::kPermissionDenied},
                                                        {404, Code::kNotFound},
                                                        {429, Code::kUnavailable},
                                                        {503, Code::kUnavailable},
                                                        {418, Code::kUnknown}}) {
    registry_.Set("/v2/app/manifests/1", {status, {}, "{\"errors\":[{\"code\":\"DENIED\"}]}"});
    ExpectError(Resolve("app:1").error(), code, StrCat("HTTP status ", status, ": DENIED"));
  }
}

TEST_F(RegistryTest, ReportsARefusedConnectionAsUnavailable) {
  registry_.Push("app", "1", image_);
  RegistryEndpoint nobody = Plain("127.0.0.1:1");
  ResolveRequest request;
  request.reference = "127.0.0.1:1/app:1";
  request.endpoints = {nobody};
  auto content = RegistryContent::Make(request, {}, "");
  ASSERT_TRUE(content);
  ExpectError((*content)->GetRoot().error(), Code::kUnavailable, "RegistryUnavailable: ");
}

TEST_F(RegistryTest, DoesNotFallBackFromHttpsToHttp) {
  registry_.Push("app", "1", image_);
  RegistryEndpoint https = Plain(registry_.host());
  https.scheme = "https";
  ResolveRequest request;
  request.reference = registry_.host() + "/app:1";
  request.endpoints = {https};
  auto content = RegistryContent::Make(request, {}, "");
  ASSERT_TRUE(content);
  ExpectError((*content)->GetRoot().error(), Code::kUnavailable, "RegistryUnavailable: ");
  EXPECT_TRUE(registry_.requests().empty());
}

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
  ExpectError(Resolve("app:1").error(), Code::kUnavailable, "more than 10 redirects");
  EXPECT_EQ(count, 11);
}

TEST_F(RegistryTest, GoesOnToTheNextMirrorAndTellsItTheRegistry) {
  registry_.Push("app", "1", image_);
  auto image = Resolve("app:1", {}, {Plain("127.0.0.1:1", false), Plain(other_.host(), false)});
  ASSERT_TRUE(image) << image.error().message();
  ASSERT_EQ(other_.requests().size(), 1U);
  EXPECT_EQ(other_.requests()[0].target, StrCat("/v2/app/manifests/1?ns=", registry_.host()));
  other_.Push("app", "1", image_);
  EXPECT_TRUE(Blob(*image, 0));
  EXPECT_EQ(other_.requests().size(), 1U);  // the server that answered is asked first
}

TEST_F(RegistryTest, PrefersAMirrorThatHasTheImage) {
  other_.Push("app", "1", image_);
  auto image = Resolve("app:1", {}, {Plain(other_.host(), false)});
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_TRUE(registry_.requests().empty());
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

TEST_F(RegistryTest, AsksAMirrorOnlyForWhatItMayDo) {
  registry_.Push("app", "1", image_);
  RegistryEndpoint mirror = Plain(other_.host(), false);
  mirror.resolve = false;
  auto image = Resolve("app:1", {}, {mirror});
  ASSERT_TRUE(image) << image.error().message();
  for (const FakeRequest& r : other_.requests()) {
    EXPECT_THAT(r.target, testing::Not(HasSubstr("manifests/1")));
  }
}

TEST_F(RegistryTest, ABlobThatBeganIsNotTakenFromTheNextServer) {
  other_.Push("app", "1", image_);
  registry_.Push("app", "1", image_);
  auto image = Resolve("app:1", {}, {Plain(other_.host(), false)});
  ASSERT_TRUE(image);
  other_.Set("/v2/app/blobs/" + image_.blob_digests[0], {200, {}, "layer one", false, 4});
  ExpectError(Blob(*image, 0).error(), Code::kUnavailable, "RegistryUnavailable");
  other_.Set("/v2/app/blobs/" + image_.blob_digests[0], {404, {}, ""});
  EXPECT_EQ(*Blob(*image, 0), "layer one");
}

}  // namespace
}  // namespace berth::image::fetch
