// SPDX-License-Identifier: Apache-2.0
// A signature's manifest, and a document that is really signed: no text is a signature by itself, none
// holds by another key, and one that lets an image in lets in no other.
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>

#include "image/fetch/auth.h"
#include "image/fetch/signature.h"
#include "image/hash.h"
#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;
namespace fetch = berth::image::fetch;
namespace oci = berth::oci;

namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};

class Key {
 public:
  Key() : key_(EVP_EC_gen("P-256")) {
    const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
    Require(key_ && bio && PEM_write_bio_PUBKEY(bio.get(), key_.get()) == 1);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    pem_.assign(data, static_cast<size_t>(size));
  }
  const std::string& pem() const { return pem_; }
  std::string Sign(std::string_view text) const {
    const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
    size_t size = 256;
    std::string out(size, '\0');
    Require(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1);
    Require(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                           reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1);
    out.resize(size);
    return fetch::Base64Encode(out);
  }

 private:
  std::unique_ptr<EVP_PKEY, Free> key_;
  std::string pem_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Key kKey, kOther;
  static const oci::Digest kManifest = berth::image::Sha256::Of("manifest");
  static const oci::Digest kOtherManifest = berth::image::Sha256::Of("other");
  const std::string_view text = berth::fuzz::Text(data, size);
  const auto name = oci::Reference::Parse("registry.example.com/team/app:1");
  Require(name.has_value());
  if (const auto layers = fetch::ParseSignatureManifest(text)) {
    Require(layers->size() <= fetch::kMaxSignatures);
    for (const fetch::SignatureLayer& layer : *layers) {
      Require(layer.payload.size <= static_cast<int64_t>(fetch::kMaxSignedPayload));
      // What somebody wrote there is no signature by a key that was made just now.
      Require(!fetch::CheckSignature(layer, text, kKey.pem(), kManifest, *name));
    }
  }
  const fetch::SignatureLayer layer{
      {"", berth::image::Sha256::Of(text), static_cast<int64_t>(size)}, kKey.Sign(text)};
  Require(!fetch::CheckSignature(layer, text, kOther.pem(), kManifest, *name));
  // One document is about one manifest.
  if (fetch::CheckSignature(layer, text, kKey.pem(), kManifest, *name))
    Require(!fetch::CheckSignature(layer, text, kKey.pem(), kOtherManifest, *name));
  return 0;
}
