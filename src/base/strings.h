// SPDX-License-Identifier: Apache-2.0
// Text helpers that need neither fmt nor iostream, so that the monitor can use them too. Pure; any
// thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth {

namespace internal {
inline void AppendPiece(std::string& out, std::string_view piece) { out += piece; }
inline void AppendPiece(std::string& out, const char* piece) { out += piece; }
inline void AppendPiece(std::string& out, char piece) { out += piece; }
void AppendSigned(std::string& out, long long value);
void AppendUnsigned(std::string& out, unsigned long long value);
template <std::signed_integral T>
void AppendPiece(std::string& out, T value) {
  AppendSigned(out, value);
}
template <std::unsigned_integral T>
void AppendPiece(std::string& out, T value) {
  AppendUnsigned(out, value);
}
}  // namespace internal

// StrCat("container ", id, ": pid ", 42): text, characters and integers put together.
template <class... Pieces>
std::string StrCat(const Pieces&... pieces) {
  std::string out;
  (internal::AppendPiece(out, pieces), ...);
  return out;
}

// Decimal integer, the whole text, no sign unless `min` < 0, no spaces, within [min, max].
// InvalidArgument naming `what` otherwise.
Result<int64_t> ParseInt(std::string_view text, int64_t min, int64_t max, std::string_view what);

// Lower-case hexadecimal of bytes.
std::string HexEncode(std::string_view bytes);
bool IsLowerHex(std::string_view text);

// "a,b,,c" -> {"a","b","","c"}; the empty text gives one empty piece.
std::vector<std::string_view> Split(std::string_view text, char separator);
std::string Join(const std::vector<std::string>& pieces, std::string_view separator);
std::string_view TrimSpace(std::string_view text);
std::string ToLower(std::string_view text);

// Printable form for logs and errors: control bytes and quotes escaped, cut at `limit` bytes with
// "...".
std::string Quote(std::string_view text, size_t limit = 256);

// The text with every byte that is not part of valid UTF-8 replaced by '?': protobuf's string
// fields and gRPC's messages must be valid, and what programs print need not be.
std::string ToValidUtf8(std::string_view text);

// 64 lower-case hexadecimal characters of kernel randomness (getrandom(2)): the id of a pod or
// container.
Result<std::string> NewId();
// The rule for every id that reaches us: ^[a-f0-9]{64}$, checked before it touches the disk.
bool IsValidId(std::string_view id);

}  // namespace berth
