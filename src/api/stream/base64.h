// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648, section 4) of bytes that come in pieces; base/base64.h writes it. Values; one thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::stream {

// One text at a time: Feed its pieces, then End.
class Base64Decoder {
 public:
  // The bytes that are complete. InvalidArgument: a character that is none of base64's, or one after the padding.
  Result<std::string> Feed(std::string_view piece);
  // InvalidArgument: the text ends inside a group of four.
  Result<> End();

 private:
  unsigned int bits_ = 0;
  int digits_ = 0;   // of the group of four at hand
  int padding_ = 0;  // '=' of it
  bool ended_ = false;
};

}  // namespace berth::stream
