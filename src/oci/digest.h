// SPDX-License-Identifier: Apache-2.0
// Digest: the name of content, "sha256:" and 64 or "sha512:" and 128 lower-case hexadecimal digits,
// checked once, here. A value that was made is safe as a path component and in a URL. Any thread;
// trivially copyable.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::oci {

// Grammar and algorithms: OCI image-spec descriptor.md, "Digests". Other algorithms have valid syntax
// but nothing here computes them, so they are refused rather than trusted.
class Digest {
 public:
  enum class Algorithm : uint8_t { kSha256, kSha512 };
  static constexpr size_t kHexSize = 64;          // of sha256: image ids, diff_ids
  static constexpr size_t kMaxText = 7 + 2 * 64;  // of sha512
  static constexpr std::string_view kSha256 = "sha256";
  static constexpr std::string_view kSha512 = "sha512";

  // InvalidArgument ("digest ...: ...") for bad syntax and for a digest of another algorithm.
  static Result<Digest> Parse(std::string_view text);
  // From exactly 64 lower-case hexadecimal digits, as image ids are written.
  static Result<Digest> FromHex(std::string_view hex);
  static Digest FromSha256(std::span<const uint8_t, 32> hash);
  static Digest FromSha512(std::span<const uint8_t, 64> hash);

  Algorithm algorithm() const {
    return size_ == kMaxText ? Algorithm::kSha512 : Algorithm::kSha256;
  }
  std::string_view algorithm_name() const { return str().substr(0, kSha256.size()); }
  // These views live as long as this object: do not take them from a temporary.
  std::string_view hex() const { return str().substr(kSha256.size() + 1); }
  std::string_view str() const { return {text_.data(), size_}; }
  std::string ToString() const { return std::string(str()); }

  friend bool operator==(const Digest&, const Digest&) = default;
  friend std::strong_ordering operator<=>(const Digest&, const Digest&) = default;

 private:
  Digest(std::string_view algorithm, std::string_view hex);
  std::array<char, kMaxText> text_{};  // zeros behind the text
  uint8_t size_ = 0;
};

}  // namespace berth::oci

template <>
struct std::hash<berth::oci::Digest> {
  size_t operator()(const berth::oci::Digest& digest) const noexcept {
    return std::hash<std::string_view>()(digest.str());
  }
};
