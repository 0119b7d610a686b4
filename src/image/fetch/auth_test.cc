// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "image/fetch/registry.h"

// Only the fields that matter are named.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace berth::image::fetch {
namespace {

using testing::HasSubstr;

TEST(Challenges, AreParsedWithQuotesAndLists) {
  const auto all = ParseChallenges(
      "Bearer realm=\"https://a/token\",service=\"x \\\"y\\\"\" , "
      "scope=\"repository:a:pull,push\", "
      "Basic realm=simple");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].scheme, "bearer");
  EXPECT_EQ(all[0].params.at("service"), "x \"y\"");
  EXPECT_EQ(all[0].params.at("scope"), "repository:a:pull,push");
  EXPECT_EQ(all[1].scheme, "basic");
  EXPECT_EQ(all[1].params.at("realm"), "simple");
}

TEST(Challenges, AreBoundedAndSurviveNonsense) {
  EXPECT_TRUE(ParseChallenges("").empty());
  EXPECT_TRUE(ParseChallenges("=,\"").empty());
  EXPECT_TRUE(ParseChallenges("realm=\"x\"").empty());
  EXPECT_EQ(ParseChallenges("Bearer realm=\"never ends").size(), 1U);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "Basic realm=x, ";
  EXPECT_EQ(ParseChallenges(many).size(), 8U);
}

TEST(Realm, StaysWithTheRegistryAndOnHttps) {
  const auto allowed = [](const char* registry, const char* realm, bool secret) {
    return CheckRealm(*Url::Parse(registry), realm, secret).has_value();
  };
  const char* hub = "https://registry-1.docker.io/v2";
  EXPECT_TRUE(allowed(hub, "https://auth.docker.io/token", true));
  EXPECT_TRUE(allowed("https://ghcr.io/v2", "https://ghcr.io/token", true));
  EXPECT_TRUE(allowed("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true));
  EXPECT_TRUE(allowed("http://127.0.0.1:5000/v2", "http://127.0.0.1:5001/auth", true));
  EXPECT_TRUE(allowed("http://reg.example:5000/v2", "http://reg.example/auth", true));
  EXPECT_TRUE(allowed(hub, "https://tokens.example/x", false));

  EXPECT_FALSE(allowed(hub, "https://tokens.example/x", true));
  EXPECT_FALSE(allowed(hub, "http://auth.docker.io/token", true));
  EXPECT_FALSE(allowed(hub, "http://auth.docker.io/token", false));
  EXPECT_FALSE(allowed(hub, "https://169.254.169.254/latest", false));
  EXPECT_FALSE(allowed(hub, "https://127.0.0.1/x", false));
  EXPECT_FALSE(allowed(hub, "https://0x7f.1/x", false));
  EXPECT_FALSE(allowed(hub, "https://2130706433/x", false));
  EXPECT_FALSE(allowed(hub, "https://[::1]/x", false));
  EXPECT_FALSE(allowed(hub, "https://[::ffff:127.0.0.1]/x", false));
  EXPECT_FALSE(allowed(hub, "https://localhost/x", false));
  EXPECT_FALSE(allowed(hub, "https://10.0.0.1/x", false));
  EXPECT_FALSE(allowed(hub, "https://user:pw@auth.docker.io/token", true));
  EXPECT_FALSE(allowed(hub, "file:///etc/passwd", false));
  EXPECT_FALSE(allowed(hub, "", false));
  EXPECT_FALSE(allowed("http://127.0.0.1:5000/v2", "http://evil.example/auth", false));
  EXPECT_FALSE(allowed("https://reg.evil.co.uk/v2", "https://bank.co.uk/auth", true));
}

TEST(Realm, SeesNoCredentialsOfItsNeighbours) {
  for (const auto& [registry, service] : std::vector<std::pair<const char*, const char*>>{
           {"registry-1.docker.io", "auth.docker.io"},
           {"registry.gitlab.com", "gitlab.com"},
           {"registry.gitlab.example.co.uk", "gitlab.example.co.uk"},
           {"quay.io", "auth.quay.io"},
           {"a.azurecr.io", "a.azurecr.io"},
           {"registry.digitalocean.com", "api.digitalocean.com"},
           {"registry.cn-hangzhou.aliyuncs.com", "dockerauth.cn-hangzhou.aliyuncs.com"}})
    EXPECT_TRUE(MaySeeCredentials(service, registry)) << service;
  for (const auto& [registry, service] : std::vector<std::pair<const char*, const char*>>{
           {"a.azurecr.io", "b.azurecr.io"},
           {"1.dkr.ecr.eu-west-1.amazonaws.com", "evil.s3.amazonaws.com"},
           {"registry.example.com", "auth.other.com"},
           {"registry.example.com", "a.auth.example.com"},
           {"a.eu.azurecr.io", "b.eu.azurecr.io"},
           {"bank.co.uk", "evil.co.uk"},
           {"registry-1.docker.io", "auth.docker.io.evil.example"},
           {"registry-1.docker.io", "evil-docker.io"},
           {"registry.a.aliyuncs.com", "dockerauth.b.aliyuncs.com"},
           {"registry.a.b.aliyuncs.com", "dockerauth.a.b.aliyuncs.com"},
           {"bank.co.uk", "co.uk"},
           {"a.io", "io"},
           {"gitlab.com", "xgitlab.com"}})
    EXPECT_FALSE(MaySeeCredentials(service, registry)) << service;
  const Url registry = *Url::Parse("https://registry.example.com/v2");
  EXPECT_TRUE(MaySeeCredentials("gitlab.example.com", "registry.example.com"));
  EXPECT_TRUE(MaySeeCredentials("auth.hub.bank.co.uk", "registry.hub.bank.co.uk"));
  auto refused = CheckRealm(registry, "https://auth.example.org/token", true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kPermissionDenied);
  EXPECT_THAT(refused.error().message(), HasSubstr("token_hosts in hosts.toml"));
  EXPECT_TRUE(CheckRealm(registry, "https://auth.example.org/token", true, {"auth.example.org"}));
  EXPECT_FALSE(CheckRealm(registry, "http://auth.example.org/token", true, {"auth.example.org"}));
}

TEST(Redirects, DoNotLeaveHttpsOrEnterTheMachine) {
  const auto code = [](const char* server, const char* location) {
    const Url url = *Url::Parse(server);
    auto next = CheckRedirect(url, url, location);
    return next ? Code::kOk : next.error().code();
  };
  EXPECT_EQ(code("https://r.example/v2/x", "https://cdn.example/y"), Code::kOk);
  EXPECT_EQ(code("https://r.example/v2/x", "/y"), Code::kOk);
  EXPECT_EQ(code("https://r.example/v2/x", "http://r.example/y"), Code::kFailedPrecondition);
  EXPECT_EQ(code("https://r.example/v2/x", "https://169.254.169.254/"), Code::kFailedPrecondition);
  EXPECT_EQ(code("https://r.example/v2/x", "https://localhost/"), Code::kFailedPrecondition);
  EXPECT_EQ(code("https://r.example/v2/x", "file:///etc/shadow"), Code::kFailedPrecondition);
  EXPECT_EQ(code("https://r.example/v2/x", "https://u:p@cdn.example/"), Code::kFailedPrecondition);
  EXPECT_EQ(code("http://127.0.0.1:5000/v2/x", "http://127.0.0.1:6000/"), Code::kOk);
}

TEST(Credentials, BelongToOneServer) {
  const auto reference = *oci::Reference::Parse("docker.io/library/busybox");
  RegistryEndpoint origin{.scheme = "https", .host = "registry-1.docker.io", .origin = true};
  RegistryEndpoint mirror{.scheme = "https", .host = "mirror.example"};
  const Credentials plain{.username = "u", .password = "p"};
  EXPECT_TRUE(CredentialsAreFor(plain, origin, reference));
  EXPECT_FALSE(CredentialsAreFor(plain, mirror, reference));
  EXPECT_FALSE(CredentialsAreFor({}, origin, reference));
  Credentials hub = plain;
  hub.server_address = "https://index.docker.io/v1/";
  EXPECT_TRUE(CredentialsAreFor(hub, origin, reference));
  EXPECT_FALSE(CredentialsAreFor(hub, mirror, reference));
  hub.server_address = "mirror.example:443";
  EXPECT_TRUE(CredentialsAreFor(hub, mirror, reference));
  for (const char* other :
       {"http://mirror.example:443", "mirror.example:444", "mirror.example.evil:443"}) {
    hub.server_address = other;
    EXPECT_FALSE(CredentialsAreFor(hub, mirror, reference)) << other;
  }
  hub.server_address = "mirror.example";
  EXPECT_FALSE(CredentialsAreFor(hub, origin, reference));
  EXPECT_TRUE(CredentialsAreFor(hub, mirror, reference));
}

TEST(Credentials, AuthIsUserAndPassword) {
  Credentials c{.auth = Base64Encode("user:pass:word")};
  ASSERT_TRUE(UnpackAuth(c));
  EXPECT_EQ(c.username, "user");
  EXPECT_EQ(c.password, "pass:word");
  for (const char* bad : {"x", "====", "dXNlcg==", "OnA="}) {
    Credentials wrong{.auth = bad};
    EXPECT_FALSE(UnpackAuth(wrong)) << bad;
  }
}

TEST(Scope, IsForPullOnly) {
  const auto scope = [](const char* text) {
    return TokenScope({"bearer", {{"scope", text}}}, "team/app");
  };
  EXPECT_EQ(scope("repository:other/app:pull,push,delete"), "repository:other/app:pull");
  EXPECT_EQ(scope("registry:catalog:*"), "repository:team/app:pull");
  EXPECT_EQ(scope("repository:a b:pull"), "repository:team/app:pull");
  EXPECT_EQ(TokenScope({"bearer", {}}, "team/app"), "repository:team/app:pull");
}

TEST(Urls, ShowNoSecrets) {
  const Url url = *Url::Parse("https://h.example/a?X-Signature=secret");
  EXPECT_EQ(url.Shown(), "https://h.example:443/a?...");
  EXPECT_FALSE(Url::Parse("https://u:p@h.example/"));
  EXPECT_FALSE(Url::Parse("https://h.example/a\r\nb"));
  EXPECT_FALSE(Url::Parse("ftp://h.example/"));
}

}  // namespace
}  // namespace berth::image::fetch
