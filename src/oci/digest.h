// SPDX-License-Identifier: Apache-2.0
// Digest: the name of content, always "sha256:" and 64 lower-case hexadecimal digits, checked once,
// here. A value that was made is safe as a path component and in a URL. Any thread; trivially
// copyable.
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

// Grammar: OCI image-spec descriptor.md, "Digests". Other algorithms have valid syntax but nothing
// here computes them, so they are refused rather than trusted.
class Digest {
 public:
  static constexpr size_t kHexSize = 64;
  static constexpr std::string_view kAlgorithm = "sha256";

  // InvalidArgument for bad syntax ("digest ...: ..."), Unimplemented for a valid digest of another
  // algorithm.
  static Result<Digest> Parse(std::string_view text);
  // From exactly 64 lower-case hexadecimal digits, as image ids and blob file names are written.
  static Result<Digest> FromHex(std::string_view hex);
  static Digest FromSha256(std::span<const uint8_t, 32> hash);

  std::string_view algorithm() const { return kAlgorithm; }
  // These views live as long as this object: do not take them from a temporary.
  std::string_view hex() const { return str().substr(kAlgorithm.size() + 1); }
  std::string_view str() const { return {text_.data(), text_.size()}; }
  std::string ToString() const { return std::string(str()); }

  friend bool operator==(const Digest&, const Digest&) = default;
  friend std::strong_ordering operator<=>(const Digest&, const Digest&) = default;

 private:
  Digest() = default;
  std::array<char, kAlgorithm.size() + 1 + kHexSize> text_;
};

}  // namespace berth::oci

template <>
struct std::hash<berth::oci::Digest> {
  size_t operator()(const berth::oci::Digest& digest) const noexcept {
    return std::hash<std::string_view>()(digest.str());
  }
};
