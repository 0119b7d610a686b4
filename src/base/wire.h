// SPDX-License-Identifier: Apache-2.0
// The byte form of messages between Berth's own processes: little-endian integers and
// length-prefixed text, nothing else. Writer and Reader are values; one thread. A Reader checks
// every length against what is left before it allocates.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::wire {

class Writer {
 public:
  void U8(uint8_t v) { Raw(v, 1); }
  void U32(uint32_t v) { Raw(v, 4); }
  void U64(uint64_t v) { Raw(v, 8); }
  void I64(int64_t v) { Raw(static_cast<uint64_t>(v), 8); }
  void Bool(bool v) { U8(v ? 1 : 0); }
  void Text(std::string_view v) {
    U32(static_cast<uint32_t>(v.size()));
    bytes_ += v;
  }
  void Texts(const std::vector<std::string>& v) {
    U32(static_cast<uint32_t>(v.size()));
    for (const std::string& s : v) Text(s);
  }
  const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }

 private:
  void Raw(uint64_t v, int width) {
    for (int i = 0; i < width; ++i) bytes_ += static_cast<char>((v >> (8 * i)) & 0xff);
  }
  std::string bytes_;
};

// Reads in the order of writing. After the first short or impossible field every read fails
// (InvalidArgument).
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  Result<uint8_t> U8();
  Result<uint32_t> U32();
  Result<uint64_t> U64();
  Result<int64_t> I64();
  Result<bool> Bool();  // only 0 and 1
  Result<std::string> Text(size_t limit = 1U << 20);
  Result<std::vector<std::string>> Texts(size_t count_limit = 4096, size_t limit = 1U << 20);
  // Nothing may follow.
  Result<> End() const;

 private:
  Result<uint64_t> Raw(size_t width);
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace berth::wire
