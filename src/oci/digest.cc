// SPDX-License-Identifier: Apache-2.0
#include "oci/digest.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::oci {

namespace {

constexpr size_t kMaxDigestText = 256;

bool IsLowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// algorithm ::= component (separator component)*, separator one of "+._-".
bool IsAlgorithm(std::string_view text) {
  bool after_alnum = false;
  for (char c : text) {
    bool alnum = IsLowerAlnum(c);
    if (!alnum && (!after_alnum || std::string_view("+._-").find(c) == std::string_view::npos)) {
      return false;
    }
    after_alnum = alnum;
  }
  return after_alnum;
}

bool IsEncoded(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return IsLowerAlnum(c) || (c >= 'A' && c <= 'Z') || c == '=' || c == '_' || c == '-';
  });
}

Error Bad(std::string_view text, std::string_view problem) {
  return Error(Code::kInvalidArgument, StrCat("digest ", Quote(text, 100), ": ", problem));
}

std::string_view Bytes(std::span<const uint8_t> hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

}  // namespace

Digest::Digest(std::string_view algorithm, std::string_view hex) {
  auto end = std::copy(algorithm.begin(), algorithm.end(), text_.begin());
  *end++ = ':';
  end = std::copy(hex.begin(), hex.end(), end);
  size_ = static_cast<uint8_t>(end - text_.begin());
}

Result<Digest> Digest::Parse(std::string_view text) {
  size_t colon = text.find(':');
  if (colon == std::string_view::npos) return Bad(text, "no algorithm");
  std::string_view name = text.substr(0, colon);
  std::string_view encoded = text.substr(colon + 1);
  if (text.size() > kMaxDigestText || !IsAlgorithm(name) || !IsEncoded(encoded)) {
    return Bad(text, "bad syntax");
  }
  if (name != kSha256 && name != kSha512) {
    return Bad(text, StrCat("algorithm ", name, " is not supported"));
  }
  const size_t size = name == kSha256 ? kHexSize : 2 * kHexSize;
  if (encoded.size() != size || !IsLowerHex(encoded)) {
    return Bad(text, StrCat("not ", size, " lower-case hexadecimal digits"));
  }
  return Digest(name, encoded);
}

Result<Digest> Digest::FromHex(std::string_view hex) {
  if (hex.size() != kHexSize || !IsLowerHex(hex)) {
    return Bad(hex, "not 64 lower-case hexadecimal digits");
  }
  return Digest(kSha256, hex);
}

Digest Digest::FromSha256(std::span<const uint8_t, 32> hash) {
  return Digest(kSha256, HexEncode(Bytes(hash)));
}

Digest Digest::FromSha512(std::span<const uint8_t, 64> hash) {
  return Digest(kSha512, HexEncode(Bytes(hash)));
}

}  // namespace berth::oci
