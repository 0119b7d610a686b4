// SPDX-License-Identifier: Apache-2.0
#include "image/sha256.h"

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

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr) std::abort();
  Must(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::Update(std::string_view bytes) {
  Must(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

oci::Digest Sha256::Finish() {
  std::array<uint8_t, 32> hash{};
  unsigned int size = 0;
  Must(EVP_DigestFinal_ex(context_.get(), hash.data(), &size));
  return oci::Digest::FromSha256(hash);
}

oci::Digest Sha256::Of(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

}  // namespace berth::image
