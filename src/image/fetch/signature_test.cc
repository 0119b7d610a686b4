// SPDX-License-Identifier: Apache-2.0
// Signatures: made here with OpenSSL as cosign makes them, then changed in every way that matters.
#include "image/fetch/signature.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "image/fetch/auth.h"
#include "image/fetch/registry_fixture.h"

namespace berth::image::fetch {
namespace {

using testing::HasSubstr;

class Key {
 public:
  explicit Key(const char* curve = "P-256") : key_(EVP_EC_gen(curve)) {}
  ~Key() { EVP_PKEY_free(key_); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  std::string pem() const {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, key_);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string out(data, static_cast<size_t>(size));
    BIO_free(bio);
    return out;
  }
  std::string Sign(const std::string& text) const {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key_);
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    size_t size = 256;
    std::string out(size, '\0');
    EVP_DigestSign(context, reinterpret_cast<unsigned char*>(out.data()), &size, bytes,
                   text.size());
    EVP_MD_CTX_free(context);
    out.resize(size);
    return Base64Encode(out);
  }

 private:
  EVP_PKEY* key_;
};

std::string Payload(std::string_view digest, std::string_view name,
                    std::string_view type = "cosign container image signature") {
  return StrCat("{\"critical\":{\"identity\":{\"docker-reference\":\"", name,
                "\"},\"image\":{\"docker-manifest-digest\":\"", digest, "\"},\"type\":\"", type,
                "\"},\"optional\":null}");
}

class SignatureTest : public RegistryTest {
 protected:
  const oci::Digest manifest_ = Sha256::Of("manifest");
  const oci::Reference name_ = *oci::Reference::Parse("registry.example.com/team/app:1");
  Result<> Check(const std::string& payload, const std::string& signature,
                 const std::string& key_pem) {
    const SignatureLayer layer{{"", Sha256::Of(payload), static_cast<int64_t>(payload.size())},
                               signature};
    return CheckSignature(layer, payload, key_pem, manifest_, name_);
  }
  void ExpectRefused(const Result<>& result, const std::string& text,
                     Code code = Code::kFailedPrecondition) {
    ASSERT_FALSE(result);
    ExpectError(result.error(), code, text);
  }
  // The signature's image, as cosign pushes it.
  void PushSignature(const std::string& payload, const std::string& signature) {
    const std::string digest = Sha256::Of(payload).ToString();
    const std::string document = StrCat(
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
        "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"",
        digest,
        "\",\"size\":2},\"layers\":[{\"mediaType\":\"application/vnd.dev.cosign."
        "simplesigning.v1+json\",\"digest\":\"",
        digest, "\",\"size\":", payload.size(),
        ",\"annotations\":{\"dev.cosignproject.cosign/signature\":\"", signature, "\"}}]}");
    const std::string tag = "sha256-" + image_.manifest_digest.substr(7) + ".sig";
    registry_.Set("/v2/app/manifests/" + tag,
                  {200,
                   {{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}},
                   document,
                   false,
                   ~size_t{0},
                   false});
    registry_.Set("/v2/app/blobs/" + digest, {200, {}, payload, false, ~size_t{0}, false});
  }
  Key key_;
};

TEST_F(SignatureTest, HoldsForTheManifestAndNameThatWereSigned) {
  for (const char* name :
       {"registry.example.com/team/app", "registry.example.com/team/app:7", ""}) {
    const std::string payload = Payload(manifest_.str(), name);
    auto checked = Check(payload, key_.Sign(payload), key_.pem());
    EXPECT_TRUE(checked) << checked.error().message();
  }
}

TEST_F(SignatureTest, RefusesEverythingElse) {
  const std::string good = Payload(manifest_.str(), "registry.example.com/team/app");
  const std::string signature = key_.Sign(good);
  const Key other, large("P-384");
  ExpectRefused(Check(good, signature, other.pem()), "not by this key");
  ExpectRefused(Check(good + " ", signature, key_.pem()), "not by this key");
  ExpectRefused(Check(good, "", key_.pem()), "not base64");
  ExpectRefused(Check(good, "%%%%", key_.pem()), "not base64");
  ExpectRefused(Check(good, "AAAA", key_.pem()), "not by this key");
  ExpectRefused(Check(good, large.Sign(good), large.pem()), "P-256", Code::kInvalidArgument);
  ExpectRefused(Check(good, signature, "-----BEGIN PUBLIC KEY-----"), "P-256",
                Code::kInvalidArgument);
  const auto signed_by_us = [&](const std::string& payload) {
    return Check(payload, key_.Sign(payload), key_.pem());
  };
  ExpectRefused(signed_by_us(Payload(Sha256::Of("x").str(), "")), "about another image");
  ExpectRefused(signed_by_us(Payload(manifest_.str(), "registry.example.com/other")),
                "about \"registry.example.com/other\"");
  ExpectRefused(signed_by_us(Payload(manifest_.str(), "", "atomic container signature")),
                "of another type");
  ExpectRefused(signed_by_us("not json"), "signed document", Code::kInvalidArgument);
  ExpectRefused(signed_by_us("[]"), "of another type");
}

TEST_F(SignatureTest, ManifestsOfSignaturesAreBounded) {
  EXPECT_TRUE(ParseSignatureManifest("{\"layers\":[]}")->empty());
  EXPECT_TRUE(ParseSignatureManifest("{\"layers\":[1,{\"mediaType\":\"x\"}]}")->empty());
  const std::string type =
      "{\"layers\":[{\"mediaType\":\"application/vnd.dev.cosign.simplesigning.v1+json\",";
  for (const std::string& bad :
       {std::string("{}"), std::string("x"), type + "\"digest\":\"sha256:../x\",\"size\":1}]}",
        type + "\"digest\":\"" + manifest_.ToString() + "\"}]}",
        type + "\"digest\":\"" + manifest_.ToString() + "\",\"size\":-1}]}",
        type + "\"digest\":\"" + manifest_.ToString() + "\",\"size\":99999999}]}"})
    EXPECT_FALSE(ParseSignatureManifest(bad)) << bad;
}

TEST_F(SignatureTest, AreFetchedFromBesideTheImage) {
  registry_.Push("app", "1", image_);
  ASSERT_TRUE(Resolve("app:1"));
  const std::string payload = Payload(image_.manifest_digest, StrCat(registry_.host(), "/app"));
  ExpectRefused(content_->CheckSignatures(*root_, key_.pem()),
                "SignatureValidationFailed: the image has no signature");
  PushSignature(payload, key_.Sign(payload));
  auto checked = content_->CheckSignatures(*root_, key_.pem());
  EXPECT_TRUE(checked) << checked.error().message();
  ExpectRefused(content_->CheckSignatures(*root_, Key().pem()),
                "SignatureValidationFailed: signature is not by this key");
  // Whatever else is wrong with it is no reason to let the image in.
  PushSignature("{}", key_.Sign("{}"));
  ExpectRefused(content_->CheckSignatures(*root_, key_.pem()),
                "SignatureValidationFailed: signed document is of another type");
  const std::string tag = "/v2/app/manifests/sha256-" + image_.manifest_digest.substr(7) + ".sig";
  registry_.Set(tag, {200, {}, "<html>", false, ~size_t{0}, false});
  ExpectRefused(content_->CheckSignatures(*root_, key_.pem()),
                "SignatureValidationFailed: signature manifest");
  registry_.Set(tag, {403, {}, "", false, ~size_t{0}, false});
  ExpectRefused(content_->CheckSignatures(*root_, key_.pem()),
                "SignatureValidationFailed: manifest");
  registry_.Guard(
      [](const FakeRequest&) -> FakeAnswer { return {503, {}, "", false, ~size_t{0}, false}; });
  ExpectRefused(content_->CheckSignatures(*root_, key_.pem()), "RegistryUnavailable",
                Code::kUnavailable);
}

}  // namespace
}  // namespace berth::image::fetch
