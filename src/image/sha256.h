// SPDX-License-Identifier: Apache-2.0
// SHA-256 of a stream (OpenSSL EVP, which uses the processor's instructions). A value of one owner;
// one thread.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "oci/digest.h"

struct evp_md_ctx_st;

namespace berth::image {

class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void Update(std::string_view bytes);
  // Of all bytes so far; nothing may be added afterwards.
  oci::Digest Finish();

  static oci::Digest Of(std::string_view bytes);

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace berth::image
