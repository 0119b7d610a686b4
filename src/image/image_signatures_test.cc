// SPDX-License-Identifier: Apache-2.0
// The signature policy: read from a file, asked before a pull and again before a container.
#include "image/testing/image_store_fixture.h"

namespace berth::image {
namespace {

constexpr const char* kKey = "-----BEGIN PUBLIC KEY-----\none\n-----END PUBLIC KEY-----\n";
constexpr const char* kOther = "-----BEGIN PUBLIC KEY-----\ntwo\n-----END PUBLIC KEY-----\n";

class SignaturePolicyTest : public ImageStoreTest {
 protected:
  void SetUp() override {
    ImageStoreTest::SetUp();
    if (!tmp_) return;
    options_.signature_policy = tmp_->path() + "/policy.toml";
    Write("one.pub", kKey);
    Write("two.pub", kOther);
    Policy("default = \"accept\"\n");
    Reopen();
    id_ = AddTwoLayers();
  }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(tmp_->dir().WriteFile(name, text, 0644));
  }
  void Policy(const std::string& text) { Write("policy.toml", text); }
  std::string Key(const std::string& repository, const std::string& file) {
    return StrCat("[repository.\"", repository, "\"]\npolicy = \"key\"\nkey = \"", tmp_->path(),
                  "/", file, "\"\n");
  }
  void ExpectRefused(const Error& error, const std::string& text) {
    EXPECT_EQ(error.code(), Code::kFailedPrecondition) << error.message();
    EXPECT_THAT(error.message(), HasSubstr("SignatureValidationFailed: "));
    EXPECT_THAT(error.message(), HasSubstr(text));
  }
  std::string id_;
};

TEST_F(SignaturePolicyTest, TheLongestNameThatFitsDecides) {
  Policy(StrCat("default = \"reject\"\n[repository.\"a.example\"]\npolicy = \"accept\"\n",
                Key("a.example/team", "one.pub")));
  auto policy = SignaturePolicy::Read(options_.signature_policy);
  ASSERT_TRUE(policy) << policy.error().message();
  using Kind = SignatureRule::Kind;
  EXPECT_EQ(policy->For("b.example/x").kind, Kind::kReject);
  EXPECT_EQ(policy->For("a.example/x").kind, Kind::kAccept);
  EXPECT_EQ(policy->For("a.example/teams").kind, Kind::kAccept);
  EXPECT_EQ(policy->For("a.example/team").kind, Kind::kKey);
  EXPECT_EQ(policy->For("a.example/team/app").key_pem, kKey);
  EXPECT_EQ(policy->For("a.example.evil/x").kind, Kind::kReject);
}

TEST_F(SignaturePolicyTest, ARegistryIsTheSameInEverySpelling) {
  Policy(
      "[repository.\"Policy.test:443/team\"]\npolicy = \"reject\"\n"
      "[repository.\"docker.io\"]\npolicy = \"reject\"\n"
      "[repository.\"registry.hub.docker.com/library/good\"]\npolicy = \"accept\"\n");
  auto policy = SignaturePolicy::Read(options_.signature_policy);
  ASSERT_TRUE(policy) << policy.error().message();
  using Kind = SignatureRule::Kind;
  for (const char* name : {"policy.test/team/app", "POLICY.test/team/app", "policy.test:443/team",
                           "policy.test:0443/team/x", "docker.io/x/y", "index.docker.io/x/y",
                           "registry-1.docker.io/x/y", "Registry-1.Docker.io:443/x"})
    EXPECT_EQ(policy->For(name).kind, Kind::kReject) << name;
  for (const char* name : {"policy.test/other", "policy.test:5000/team/app",
                           "docker.io/library/good", "index.docker.io/good"})
    EXPECT_EQ(policy->For(name).kind, Kind::kAccept) << name;
  Policy(
      "[repository.\"a.test/x\"]\npolicy = \"reject\"\n"
      "[repository.\"A.test:443/x\"]\npolicy = \"accept\"\n");
  ExpectRefused(SignaturePolicy::Read(options_.signature_policy).error(), "in two spellings");
}

TEST_F(SignaturePolicyTest, AFileThatCannotBeUnderstoodLetsNothingIn) {
  for (const std::string& bad :
       {std::string("default = \"maybe\""), std::string("other = 1"), std::string("[repository.x]"),
        std::string("x = ["), std::string("rGa\xd2\x99=\nc"), Key("x", "missing.pub"),
        std::string("[repository.x]\npolicy = \"key\"\n"),
        std::string("[repository.x]\npolicy = \"accept\"\nkeyy = \"\"\n")}) {
    Policy(bad);
    auto pulled = Pull();
    ASSERT_FALSE(pulled) << bad;
    EXPECT_EQ(pulled.error().code(), Code::kFailedPrecondition) << bad;
    EXPECT_THAT(pulled.error().message(),
                HasSubstr("SignatureValidationFailed: signature policy: /"));
    EXPECT_THAT(pulled.error().message(), HasSubstr("policy.toml")) << bad;
  }
  ASSERT_TRUE(tmp_->dir().RemoveFile("policy.toml"));
  EXPECT_FALSE(Pull());
  EXPECT_THAT(*store_->List(), IsEmpty());
}

TEST_F(SignaturePolicyTest, RejectedImagesAreNotEvenAskedFor) {
  Policy("[repository.\"registry.test\"]\npolicy = \"reject\"\n");
  ExpectRefused(Pull().error(), "the signature policy rejects it");
  EXPECT_EQ(fetcher_.resolves(), 0);
}

TEST_F(SignaturePolicyTest, ASignedImageIsLetInAndStaysSoUntilTheKeyChanges) {
  Policy(Key("registry.test/app", "one.pub"));
  ExpectRefused(Pull().error(), "not signed");
  EXPECT_THAT(*store_->List(), IsEmpty());
  EXPECT_THAT(Entries("images/layers"), IsEmpty());
  fetcher_.Sign(kName, kOther);
  ExpectRefused(Pull().error(), "not signed");
  fetcher_.Sign(kName, kKey);
  ASSERT_TRUE(Pull());
  ASSERT_TRUE(store_->PrepareRootfs(kContainer, id_));
  Reopen();  // remembered
  const std::string second(64, 'd');
  auto again = store_->PrepareRootfs(second, id_);
  ASSERT_TRUE(again) << again.error().message();
  ASSERT_TRUE(store_->RemoveRootfs(second));

  Policy(Key("registry.test/app", "two.pub"));
  ExpectRefused(store_->PrepareRootfs(second, id_).error(), "pull it again");
  EXPECT_THAT(*store_->ListRootfs(), ElementsAre(kContainer));
  // What runs already is reassembled after a restart all the same.
  EXPECT_TRUE(store_->PrepareRootfs(kContainer, id_));
  fetcher_.Sign(kName, kOther);
  ASSERT_TRUE(Pull());
  EXPECT_TRUE(store_->PrepareRootfs(second, id_));
}

TEST_F(SignaturePolicyTest, AnImageFromBeforeThePolicyNeedsAPull) {
  ASSERT_TRUE(Pull());
  Policy(Key("registry.test/app", "one.pub"));
  ExpectRefused(store_->PrepareRootfs(kContainer, id_).error(), "no name of it is let in");
  EXPECT_THAT(*store_->ListRootfs(), IsEmpty());
  Policy("[repository.\"registry.test\"]\npolicy = \"reject\"\n");
  ExpectRefused(store_->PrepareRootfs(kContainer, id_).error(), "no name of it is let in");
  Policy("");
  EXPECT_TRUE(store_->PrepareRootfs(kContainer, id_));
}

}  // namespace
}  // namespace berth::image
