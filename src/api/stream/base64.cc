// SPDX-License-Identifier: Apache-2.0
#include "api/stream/base64.h"

namespace berth::stream {

namespace {

int DigitOf(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

Error Bad() { return Error(Code::kInvalidArgument, "message is not base64"); }

}  // namespace

Result<std::string> Base64Decoder::Feed(std::string_view piece) {
  std::string out;
  for (char c : piece) {
    const int digit = DigitOf(c);
    if (ended_ || (digit < 0 && (c != '=' || digits_ < 2)) || (digit >= 0 && padding_ != 0))
      return Bad();
    bits_ = bits_ << 6 | (digit < 0 ? 0U : static_cast<unsigned int>(digit));
    ++digits_;
    if (digit < 0) ++padding_;
    if (digits_ < 4) continue;
    for (int i = 0; i < 3 - padding_; ++i) out += static_cast<char>(bits_ >> (16 - 8 * i) & 0xff);
    ended_ = padding_ != 0;
    bits_ = 0;
    digits_ = padding_ = 0;
  }
  return out;
}

Result<> Base64Decoder::End() {
  const bool complete = digits_ == 0;
  *this = Base64Decoder();
  if (!complete) return Bad();
  return Ok();
}

}  // namespace berth::stream
