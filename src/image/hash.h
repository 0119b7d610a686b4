// SPDX-License-Identifier: Apache-2.0
// SHA-256 or SHA-512 of a stream (OpenSSL EVP, which uses the processor's instructions). A value of
// one owner; one thread.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "oci/digest.h"

struct evp_md_ctx_st;

namespace berth::image {

class Hash {
 public:
  explicit Hash(oci::Digest::Algorithm algorithm);
  Hash(Hash&&) noexcept;
  Hash& operator=(Hash&&) noexcept;
  ~Hash();

  void Update(std::string_view bytes);
  // Of all bytes so far; nothing may be added afterwards.
  oci::Digest Finish();

  static oci::Digest Of(oci::Digest::Algorithm algorithm, std::string_view bytes);

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  oci::Digest::Algorithm algorithm_;
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

class Sha256 : public Hash {
 public:
  Sha256() : Hash(oci::Digest::Algorithm::kSha256) {}
  static oci::Digest Of(std::string_view bytes);
};

}  // namespace berth::image
