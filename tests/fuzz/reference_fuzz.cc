// SPDX-License-Identifier: Apache-2.0
// Image references, digests and ids: what parses is safe in a path and a URL, and its canonical
// text parses to itself.
#include "oci/reference.h"

#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;

namespace {

void CheckSafe(std::string_view text) {
  for (char c : text) Require(c > ' ' && c < 127 && c != '\\' && c != '?' && c != '#' && c != '%');
  Require(text.find("..") == std::string_view::npos && text.find("//") == std::string_view::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text = berth::fuzz::Text(data, size);
  if (auto digest = berth::oci::Digest::Parse(text)) {
    Require(digest->str() == text && digest->hex().size() == 64);
  }
  bool id = berth::oci::LooksLikeImageId(text);
  auto reference = berth::oci::Reference::Parse(text);
  Require(!(id && reference));
  if (!reference) return 0;
  CheckSafe(reference->Name());
  Require(reference->tag().has_value() || reference->digest().has_value());
  auto again = berth::oci::Reference::Parse(reference->str());
  Require(again && *again == *reference);
  return 0;
}
