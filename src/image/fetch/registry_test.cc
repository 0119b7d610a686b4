// SPDX-License-Identifier: Apache-2.0
// Manifests and blobs from scripted servers, inside the test's own process.
#include "image/fetch/registry_fixture.h"

// Only the fields that matter are named.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace berth::image::fetch {
namespace {

using testing::HasSubstr;

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

TEST_F(RegistryTest, KnowsContentBySha512Too) {
  constexpr auto kSha512 = oci::Digest::Algorithm::kSha512;
  std::string manifest = image_.manifest;
  const auto rename = [&](const std::string& old, const std::string& bytes) {
    const std::string digest = Hash::Of(kSha512, bytes).ToString();
    manifest.replace(manifest.find(old), old.size(), digest);
    registry_.Set("/v2/app/blobs/" + digest, {200, {}, bytes});
    return digest;
  };
  rename(image_.config_digest, image_.config);
  const std::string layer = rename(image_.blob_digests[0], image_.blobs[0]);
  rename(image_.blob_digests[1], image_.blobs[1]);
  const std::string digest = Hash::Of(kSha512, manifest).ToString();
  // Registries answer with the digest that they know it by.
  registry_.Set("/v2/app/manifests/" + digest,
                {200,
                 {{"Content-Type", image_.manifest_type},
                  {"Docker-Content-Digest", Sha256::Of(manifest).ToString()}},
                 manifest});
  auto image = Resolve("app@" + digest);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(root_->str(), digest);
  EXPECT_EQ(*Blob(*image, 0), "layer one");
  EXPECT_EQ(*Blob(*image, 1), "layer two");
  // The id is what it is by any other digest.
  EXPECT_EQ(ToRemoteImage(*image).config_digest.str(), image_.config_digest);
  registry_.Set("/v2/app/blobs/" + layer, {200, {}, "layer 0ne"});
  ExpectError(Blob(*image, 0).error(), Code::kDataLoss, "wrong content, its digest is sha512:");
  registry_.Set("/v2/app/manifests/" + digest, {200, {}, manifest + " "});
  ExpectError(Resolve("app@" + digest).error(), Code::kDataLoss, "wrong content");
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
  request.retry_delay = std::chrono::milliseconds(1);
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

TEST_F(RegistryTest, WhatIsNoManifestIsAskedOfTheNextServer) {
  registry_.Push("app", "1", image_);
  other_.Push("app", "1", image_);
  for (const FakeAnswer& lie :
       {FakeAnswer{200, {{"Content-Type", "text/html"}}, "<html>log in</html>"},
        FakeAnswer{200, {{"Content-Type", image_.manifest_type}}, "{}"},
        FakeAnswer{
            200, {{"Content-Type", "application/vnd.oci.image.index.v1+json"}}, image_.manifest}}) {
    for (const std::string& name : {std::string("1"), image_.manifest_digest}) {
      other_.Set("/v2/app/manifests/" + name, lie);
      auto image =
          Resolve(name == "1" ? "app:1" : "app@" + name, {}, {Plain(other_.host(), false)});
      ASSERT_TRUE(image) << image.error().message();
    }
  }
  registry_.Set("/v2/app/manifests/1", {404, {}, ""});
  ExpectError(Resolve("app:1", {}, {Plain(other_.host(), false)}).error(), Code::kNotFound,
              "manifest unknown");
}

TEST_F(RegistryTest, APeerIsJudgedByItsAddress) {
  for (const auto& [address, outside, not_on_link] :
       std::vector<std::tuple<std::string, bool, bool>>{{"192.0.2.1", true, true},
                                                        {"2001:db8::1", true, true},
                                                        {"10.0.0.1", true, true},
                                                        {"127.0.0.1", false, true},
                                                        {"0.0.0.0", false, true},
                                                        {"::1", false, true},
                                                        {"::ffff:127.0.0.1", false, true},
                                                        {"169.254.169.254", false, false},
                                                        {"::ffff:169.254.169.254", false, false},
                                                        {"fe80::1", false, false},
                                                        {"", false, false}}) {
    EXPECT_EQ(IsAllowed(Peers::kOutside, address), outside) << address;
    EXPECT_EQ(IsAllowed(Peers::kNotOnLink, address), not_on_link) << address;
    EXPECT_TRUE(IsAllowed(Peers::kAny, address)) << address;
  }
  HttpClient http;
  HttpRequest request{.url = *Url::Parse(StrCat("http://", registry_.host(), "/x")),
                      .body_limit = 10};
  EXPECT_EQ(http.Get(request)->status, 404);
  request.peers = Peers::kOutside;
  // Neither by the connection that is kept nor by a new one.
  ExpectError(http.Get(request).error(), Code::kFailedPrecondition, "leads to a local address");
  ExpectError(HttpClient().Get(request).error(), Code::kFailedPrecondition,
              "leads to a local address");
  EXPECT_EQ(registry_.requests().size(), 1U);
  request.peers = Peers::kNotOnLink;
  EXPECT_EQ(http.Get(request)->status, 404);
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

}  // namespace
}  // namespace berth::image::fetch
