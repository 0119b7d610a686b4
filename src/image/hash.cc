// SPDX-License-Identifier: Apache-2.0
#include "image/hash.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <cstdlib>

namespace berth::image {

namespace {

// OpenSSL fails here only without memory or without its own default provider: nothing could go on.
void Must(int ok) {
  if (ok != 1) std::abort();
}

}  // namespace

void Hash::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Hash::Hash(oci::Digest::Algorithm algorithm) : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr) std::abort();
  const bool small = algorithm_ == oci::Digest::Algorithm::kSha256;
  Must(EVP_DigestInit_ex(context_.get(), small ? EVP_sha256() : EVP_sha512(), nullptr));
}
Hash::Hash(Hash&&) noexcept = default;
Hash& Hash::operator=(Hash&&) noexcept = default;
Hash::~Hash() = default;

void Hash::Update(std::string_view bytes) {
  Must(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

oci::Digest Hash::Finish() {
  std::array<uint8_t, 64> hash{};
  Must(EVP_DigestFinal_ex(context_.get(), hash.data(), nullptr));
  if (algorithm_ == oci::Digest::Algorithm::kSha512) return oci::Digest::FromSha512(hash);
  return oci::Digest::FromSha256(std::span(hash).first<32>());
}

oci::Digest Hash::Of(oci::Digest::Algorithm algorithm, std::string_view bytes) {
  Hash hash(algorithm);
  hash.Update(bytes);
  return hash.Finish();
}

oci::Digest Sha256::Of(std::string_view bytes) {
  return Hash::Of(oci::Digest::Algorithm::kSha256, bytes);
}

}  // namespace berth::image
