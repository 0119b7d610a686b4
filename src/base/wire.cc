// SPDX-License-Identifier: Apache-2.0
#include "base/wire.h"

#include "base/strings.h"

namespace berth::wire {

Result<uint64_t> Reader::Raw(size_t width) {
  if (failed_ || rest_.size() < width) {
    failed_ = true;
    return Error(Code::kInvalidArgument, "message is cut short");
  }
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
  }
  rest_.remove_prefix(width);
  return value;
}

Result<uint8_t> Reader::U8() { return static_cast<uint8_t>(TRY(Raw(1))); }
Result<uint32_t> Reader::U32() { return static_cast<uint32_t>(TRY(Raw(4))); }
Result<uint64_t> Reader::U64() { return TRY(Raw(8)); }
Result<int64_t> Reader::I64() { return static_cast<int64_t>(TRY(Raw(8))); }

Result<bool> Reader::Bool() {
  uint8_t value = TRY(U8());
  if (value > 1) {
    failed_ = true;
    return Error(Code::kInvalidArgument, StrCat("message has ", value, " for a yes or no"));
  }
  return value == 1;
}

Result<std::string> Reader::Text(size_t limit) {
  uint32_t size = TRY(U32());
  if (size > limit || size > rest_.size()) {
    failed_ = true;
    return Error(Code::kInvalidArgument, StrCat("message has a text of ", size, " bytes"));
  }
  std::string text(rest_.substr(0, size));
  rest_.remove_prefix(size);
  return text;
}

Result<std::vector<std::string>> Reader::Texts(size_t count_limit, size_t limit) {
  uint32_t count = TRY(U32());
  // Each text takes at least its 4-byte length: a count beyond that is a lie, found before
  // allocating.
  if (count > count_limit || count > rest_.size() / 4) {
    failed_ = true;
    return Error(Code::kInvalidArgument, StrCat("message has a list of ", count, " texts"));
  }
  std::vector<std::string> texts;
  texts.reserve(count);
  for (uint32_t i = 0; i < count; ++i) texts.push_back(TRY(Text(limit)));
  return texts;
}

Result<> Reader::End() const {
  if (failed_ || !rest_.empty()) {
    return Error(Code::kInvalidArgument, StrCat("message has ", rest_.size(), " bytes too many"));
  }
  return Ok();
}

}  // namespace berth::wire
