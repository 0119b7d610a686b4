// SPDX-License-Identifier: Apache-2.0
#include "image/docker_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::image {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class DockerConfigTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) {
    if (!tmp_) tmp_.emplace(std::move(*os::TempDir::Make()));
    ASSERT_TRUE(tmp_->dir().WriteFile("config.json", text, 0600));
  }
  Result<Credentials> Find(const std::string& domain) {
    return FindDockerCredentials({"/nonexistent/config.json", tmp_->path() + "/config.json"},
                                 domain);
  }
  std::optional<os::TempDir> tmp_;
};

TEST_F(DockerConfigTest, FindsARegistryByAnySpellingOfItsName) {
  Write(R"({"auths": {"https://index.docker.io/v1/": {"auth": "aHViOnA="},
                      "registry.example.com:5000": {"username": "u", "password": "p"},
                      "https://TOKEN.example.com/v2/": {"auth": "eDp5", "identitytoken": "t"}},
            "HttpHeaders": {"X": "y"}})");
  EXPECT_EQ(Find("docker.io")->auth, "aHViOnA=");
  EXPECT_EQ(Find("registry.example.com:5000")->username, "u");
  EXPECT_EQ(Find("registry.example.com:5000")->server_address, "registry.example.com:5000");
  EXPECT_EQ(Find("token.example.com")->identity_token, "t");
  for (const char* other : {"registry.example.com", "example.com", "evil-docker.io", "ghcr.io"})
    EXPECT_TRUE(IsEmpty(*Find(other))) << other;
}

TEST_F(DockerConfigTest, WithoutAFileThereAreNone) {
  Write("{}");
  EXPECT_TRUE(IsEmpty(*Find("docker.io")));
  EXPECT_TRUE(IsEmpty(*FindDockerCredentials({}, "docker.io")));
}

TEST_F(DockerConfigTest, AFileThatIsNoneIsAnErrorWithoutItsContent) {
  for (const char* text :
       {"", "[]", "{\"auths\": secret}", "{\"credHelpers\": {\"a.example\": 7}}"}) {
    Write(text);
    auto found = Find("a.example");
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code(), Code::kFailedPrecondition);
    EXPECT_THAT(found.error().message(), HasSubstr("config.json"));
    EXPECT_THAT(found.error().message(), Not(HasSubstr("secret")));
  }
}

TEST_F(DockerConfigTest, AHelperThatIsNotThereOrHasABadNameIsAnError) {
  Write(R"({"credHelpers": {"a.example": "no-such-helper", "b.example": "../../bin/sh"}})");
  EXPECT_THAT(Find("a.example").error().message(), HasSubstr("docker-credential-no-such-helper"));
  EXPECT_THAT(Find("b.example").error().message(), HasSubstr("bad name"));
  EXPECT_TRUE(IsEmpty(*Find("c.example")));
  Write(R"({"credsStore": "no-such-helper"})");
  EXPECT_EQ(Find("a.example").error().code(), Code::kFailedPrecondition);
}

TEST_F(DockerConfigTest, AHelpersAnswerIsAUserOrAToken) {
  auto user =
      ParseHelperAnswer(R"({"ServerURL": "x", "Username": "u", "Secret": "s"})", "a.example");
  ASSERT_TRUE(user);
  EXPECT_EQ(user->username, "u");
  EXPECT_EQ(user->password, "s");
  EXPECT_EQ(user->server_address, "a.example");
  auto token = ParseHelperAnswer(R"({"Username": "<token>", "Secret": "s"})", "a.example");
  ASSERT_TRUE(token);
  EXPECT_EQ(token->username, "");
  EXPECT_EQ(token->identity_token, "s");
  for (const char* bad :
       {"", "{}", "{\"Username\": \"u\"}", "{\"Username\": 1, \"Secret\": \"hush\"}"}) {
    auto answer = ParseHelperAnswer(bad, "a.example");
    ASSERT_FALSE(answer) << bad;
    EXPECT_THAT(answer.error().message(), Not(HasSubstr("hush")));
  }
}

}  // namespace
}  // namespace berth::image
