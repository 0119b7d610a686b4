// SPDX-License-Identifier: Apache-2.0
// Checks on JSON that comes from outside, made on the raw text before anything is built from it.
// Pure functions; any thread. RFC 8259; the readers in json_internal.h call this first.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace berth::oci {

enum class DuplicateKeys { kReject, kLastWins };

struct JsonLimits {
  size_t max_bytes = 4u << 20;
  size_t max_depth = 64;         // nested arrays and objects
  size_t max_values = 1u << 18;  // keys and values of every kind: bounds the memory of the tree
  DuplicateKeys duplicate_keys = DuplicateKeys::kReject;
};

// InvalidArgument, naming `what` and the byte, when the text is no single JSON value, is not UTF-8,
// has a byte order mark, a string with U+0000, a key twice in one object, or breaks a limit. Memory
// used: that of the open keys.
Result<> CheckJson(std::string_view text, const JsonLimits& limits, std::string_view what);

}  // namespace berth::oci
