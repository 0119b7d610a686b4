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

Error Bad(std::string_view text, std::string_view problem, Code code = Code::kInvalidArgument) {
  return Error(code, StrCat("digest ", Quote(text, 100), ": ", problem));
}

}  // namespace

Result<Digest> Digest::Parse(std::string_view text) {
  size_t colon = text.find(':');
  if (colon == std::string_view::npos) return Bad(text, "no algorithm");
  std::string_view name = text.substr(0, colon);
  std::string_view encoded = text.substr(colon + 1);
  if (text.size() > kMaxDigestText || !IsAlgorithm(name) || !IsEncoded(encoded)) {
    return Bad(text, "bad syntax");
  }
  // sha512 must have its own form to be called valid but unsupported.
  bool bad_sha512 = name == "sha512" && (encoded.size() != 128 || !IsLowerHex(encoded));
  if (bad_sha512) return Bad(text, "not 128 lower-case hexadecimal digits");
  if (name != kAlgorithm) {
    return Bad(text, StrCat("algorithm ", name, " is not supported"), Code::kUnimplemented);
  }
  if (encoded.size() != kHexSize || !IsLowerHex(encoded)) {
    return Bad(text, "not 64 lower-case hexadecimal digits");
  }
  Digest digest;
  std::copy(text.begin(), text.end(), digest.text_.begin());
  return digest;
}

Result<Digest> Digest::FromHex(std::string_view hex) {
  if (hex.size() != kHexSize || !IsLowerHex(hex)) {
    return Bad(hex, "not 64 lower-case hexadecimal digits");
  }
  return Parse(StrCat(kAlgorithm, ":", hex));
}

Digest Digest::FromSha256(std::span<const uint8_t, 32> hash) {
  constexpr std::string_view kHex = "0123456789abcdef";
  Digest digest;
  auto out = std::copy(kAlgorithm.begin(), kAlgorithm.end(), digest.text_.begin());
  *out++ = ':';
  for (uint8_t byte : hash) {
    *out++ = kHex[byte >> 4];
    *out++ = kHex[byte & 15];
  }
  return digest;
}

}  // namespace berth::oci
