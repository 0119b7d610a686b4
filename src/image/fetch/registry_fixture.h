// SPDX-License-Identifier: Apache-2.0
// What the tests of the registry protocol share: two scripted servers and a client in this process.
// For registry*_test.cc only.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "image/fetch/registry.h"
#include "image/testing/fake_registry.h"

namespace berth::image::fetch {
inline RegistryEndpoint Plain(const std::string& host, bool origin = true) {
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
    request.retry_delay = std::chrono::milliseconds(1);
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
    EXPECT_THAT(error.message(), testing::HasSubstr(fragment));
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

}  // namespace berth::image::fetch
