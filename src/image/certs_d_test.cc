// SPDX-License-Identifier: Apache-2.0
#include "image/certs_d.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"

namespace berth::image {
namespace {

using testing::HasSubstr;

class CertsDTest : public testing::Test {
 protected:
  Result<std::vector<RegistryEndpoint>> Parse(std::string_view text,
                                              const std::string& domain = "docker.io") {
    return ParseHostsToml(text, domain, temp_.dir());
  }
  static std::string Show(const RegistryEndpoint& e) {
    return StrCat(e.scheme, "://", e.host, e.path, e.origin ? " origin" : "", e.pull ? " pull" : "",
                  e.resolve ? " resolve" : "", e.skip_verify ? " skip_verify" : "");
  }
  static std::vector<std::string> Show(const std::vector<RegistryEndpoint>& all) {
    std::vector<std::string> out;
    for (const RegistryEndpoint& e : all) out.push_back(Show(e));
    return out;
  }
  os::TempDir temp_ = *os::TempDir::Make();
};

TEST_F(CertsDTest, KeepsMirrorsInTheOrderOfTheFile) {
  auto all = Parse(R"(
server = "https://registry-1.docker.io"
[host."https://z.example"]
  capabilities = ["pull", "resolve"]
[host."http://127.0.0.1:5000"]
  capabilities = ["pull"]
  skip_verify = true
[host."a.example:8443/proxy/"]
[host."https://b.example/fixed/path"]
  override_path = true
)");
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_THAT(Show(*all),
              testing::ElementsAre("https://z.example/v2 pull resolve",
                                   "http://127.0.0.1:5000/v2 pull skip_verify",
                                   "https://a.example:8443/proxy/v2 pull resolve",
                                   "https://b.example/fixed/path pull resolve",
                                   "https://registry-1.docker.io/v2 origin pull resolve"));
}

TEST_F(CertsDTest, WithoutServerTheRegistryItselfComesLast) {
  EXPECT_THAT(Show(*Parse("[host.\"https://m.example\"]\n")),
              testing::ElementsAre("https://m.example/v2 pull resolve",
                                   "https://registry-1.docker.io/v2 origin pull resolve"));
  EXPECT_THAT(Show(*Parse("", "r.example:5000")),
              testing::ElementsAre("https://r.example:5000/v2 origin pull resolve"));
}

TEST_F(CertsDTest, OnlyTheRegistryItselfGetsCredentials) {
  const auto all = *Parse(
      "server = "
      "\"https://r.example\"\n[host.\"https://r.example\"]\n[host.\"http://r.example\"]\n",
      "r.example");
  ASSERT_EQ(all.size(), 3U);
  EXPECT_TRUE(all[0].origin);
  EXPECT_FALSE(all[1].origin);
  EXPECT_TRUE(all[2].origin);
}

TEST_F(CertsDTest, ReadsCertificatesHeadersAndTimes) {
  ASSERT_TRUE(temp_.dir().WriteFile("ca.crt", "CA1", 0644));
  ASSERT_TRUE(temp_.dir().WriteFile("cert.pem", "CERT", 0644));
  ASSERT_TRUE(temp_.dir().WriteFile("key.pem", "KEY", 0600));
  const std::string absolute = temp_.path() + "/ca.crt";
  auto all = Parse(StrCat("[host.\"https://m.example\"]\nca = [\"ca.crt\", \"", absolute,
                          "\"]\nclient = [[\"cert.pem\", \"key.pem\"]]\ndial_timeout = \"3s\"\n"
                          "[host.\"https://m.example\".header]\nX-Key = [\"a\", \"b\"]\n"));
  ASSERT_TRUE(all) << all.error().message();
  const RegistryEndpoint& mirror = all->front();
  EXPECT_EQ(mirror.ca_pem, "CA1\nCA1\n");
  EXPECT_EQ(mirror.client_cert_pem, "CERT");
  EXPECT_EQ(mirror.client_key_pem, "KEY");
  EXPECT_EQ(mirror.dial_timeout, std::chrono::seconds(3));
  EXPECT_EQ(mirror.headers.size(), 2U);
}

TEST_F(CertsDTest, ReadsTimesAsGoDoesAndTheFirstOfSeveralCertificates) {
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(temp_.dir().WriteFile(name, name, 0600));
  for (const auto& [text, expected] : std::vector<std::pair<std::string, int>>{
           {"1m30s", 90'000}, {"1.5s", 1500}, {"1h", 3'600'000}, {"250ms", 250}, {".5s", 500}}) {
    auto all =
        Parse(StrCat("[host.\"https://m.example\"]\ndial_timeout = \"", text,
                     "\"\nclient = [[\"a\", \"b\"], \"c\"]\ntoken_hosts = [\"Auth.example\"]\n"));
    ASSERT_TRUE(all) << all.error().message();
    EXPECT_EQ(all->front().dial_timeout.count(), expected) << text;
    EXPECT_EQ(all->front().client_cert_pem, "a");
    EXPECT_EQ(all->front().client_key_pem, "b");
    EXPECT_THAT(all->front().token_hosts, testing::ElementsAre("auth.example"));
    EXPECT_THAT(all->back().token_hosts, testing::IsEmpty());
  }
}

TEST_F(CertsDTest, RefusesWhatItDoesNotUnderstand) {
  const std::pair<const char*, const char*> cases[] = {
      {"server = [", "line 1"},
      {"server = 5", "server: not a string"},
      {"server = \"ftp://x\"", "neither https nor http"},
      {"server = \"https://user:pw@x.example\"", "not a server"},
      {"server = \"https://\"", "not a server"},
      {"server = \"\"\"F\n`é\"\"\"", "not a server"},
      {"skip_verify = \"true\"", "not true or false"},
      {"capabilities = [\"fly\"]", "unknown"},
      {"capabilities = \"pull\"", "not a list"},
      {"ca = \"missing.crt\"", "missing.crt"},
      {"host = 3", "not a table"},
      {"[host]\n\"https://x\" = 1", "not a table"},
      {"[host.\"https://x\".header]\n\"bad name\" = \"v\"", "bad name"},
      {"[host.\"https://x\".header]\nX = \"a\\r\\nEvil: 1\"", "bad value"},
      {"[host.\"https://x\"]\ndial_timeout = \"soon\"", "not a time"},
      {"[host.\"https://x\"]\ndial_timeout = \"-1s\"", "not a time"},
      {"[host.\"https://x\"]\ndial_timeout = \"1s1\"", "not a time"},
      {"[host.\"https://x\"]\ndial_timeout = \"inf s\"", "not a time"},
      {"[host.\"https://x\"]\ndial_timeout = \"0s\"", "not a time"},
      {"[host.\"https://x\"]\ndial_timeout = \"25h\"", "not a time"},
      {"[host.\"https://x\"]\nclient = [[\"a\",\"b\",\"c\"]]", "not one certificate"},
      {"[host.\"https://x\"]\nclient = []", "not 1 to 16 certificates"},
      {"[host.\"https://x\"]\nclient = [[\"nope.pem\"]]", "nope.pem"},
      {"[host.\"https://x\"]\ntoken_hosts = [\"https://x\"]", "not a host's name"}};
  for (const auto& [text, fragment] : cases) {
    auto all = Parse(text);
    ASSERT_FALSE(all) << text;
    EXPECT_THAT(all.error().message(), HasSubstr(fragment)) << text;
    if (std::string(fragment).starts_with("user")) {
      EXPECT_THAT(all.error().message(), testing::Not(HasSubstr("pw")));
    }
  }
}

TEST_F(CertsDTest, RefusesCharactersThatTheParserTripsOver) {
  for (const char* text : {"rGa\xd2\x99=\nc", "server\xc2\xa0= \"https://r.example\"\n"}) {
    auto all = Parse(text);
    ASSERT_FALSE(all) << text;
    EXPECT_EQ(all.error().code(), Code::kFailedPrecondition);
    EXPECT_EQ(all.error().message(),
              "hosts.toml: line 1: a character that is not ASCII outside of strings and comments");
  }
}

TEST_F(CertsDTest, FindsTheDirectoryOfTheHost) {
  const auto put = [&](const std::string& dir, const std::string& host) {
    const auto made = *temp_.dir().MakeDir(dir, 0755);
    ASSERT_TRUE(made.WriteFile("hosts.toml", StrCat("server = \"https://", host, "\"\n"), 0644));
  };
  const auto find = [&](const std::string& domain) {
    return FindEndpoints({"/nonexistent", temp_.path()}, domain)->back().host;
  };
  EXPECT_EQ(find("docker.io"), "registry-1.docker.io");
  put("_default", "default.example");
  put("docker.io", "hub.example");
  put("r.example_5000_", "underscore.example");
  put("q.example:5000", "colon.example");
  EXPECT_EQ(find("docker.io"), "hub.example");
  EXPECT_EQ(find("r.example:5000"), "underscore.example");
  EXPECT_EQ(find("q.example:5000"), "colon.example");
  EXPECT_EQ(find("other.example"), "default.example");
  EXPECT_EQ(FindEndpoints({temp_.path()}, "../etc").error().code(), Code::kInvalidArgument);
}

TEST_F(CertsDTest, NamesTheFileThatIsWrong) {
  const auto dir = *temp_.dir().MakeDir("r.example", 0755);
  ASSERT_TRUE(dir.WriteFile("hosts.toml", "server = 1", 0644));
  auto found = FindEndpoints({temp_.path()}, "r.example");
  EXPECT_EQ(found.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(found.error().message(), HasSubstr(temp_.path() + "/r.example: hosts.toml"));
}

TEST_F(CertsDTest, ReadsDockersCertificatesWithoutHostsToml) {
  const auto dir = *temp_.dir().MakeDir("r.example", 0755);
  ASSERT_TRUE(dir.WriteFile("ca.crt", "CA", 0644));
  ASSERT_TRUE(dir.WriteFile("me.cert", "CERT", 0644));
  ASSERT_TRUE(dir.WriteFile("me.key", "KEY", 0600));
  const auto all = *FindEndpoints({temp_.path()}, "r.example");
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].ca_pem, "CA\n");
  EXPECT_EQ(all[0].client_key_pem, "KEY");
}

TEST(DefaultEndpoint, IsPlainOnlyForLoopback) {
  EXPECT_EQ(DefaultEndpoint("r.example").scheme, "https");
  EXPECT_EQ(DefaultEndpoint("10.0.0.1:5000").scheme, "https");
  EXPECT_EQ(DefaultEndpoint("localhost.evil.example").scheme, "https");
  EXPECT_EQ(DefaultEndpoint("127.evil.example").scheme, "https");
  EXPECT_EQ(DefaultEndpoint("localhost:443").scheme, "https");
  EXPECT_EQ(DefaultEndpoint("localhost:5000").scheme, "http");
  EXPECT_EQ(DefaultEndpoint("127.1.2.3:5000").scheme, "http");
  EXPECT_EQ(DefaultEndpoint("[::1]:5000").scheme, "http");
}

}  // namespace
}  // namespace berth::image
