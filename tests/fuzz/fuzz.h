// SPDX-License-Identifier: Apache-2.0
// What every fuzz target of this folder includes: the entry point's type and a check that stops the
// fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace berth::fuzz {

inline std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A property that must hold for every input.
inline void Require(bool holds) {
  if (!holds) abort();
}

}  // namespace berth::fuzz
