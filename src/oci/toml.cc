// SPDX-License-Identifier: Apache-2.0
#include "oci/toml.h"

#include <algorithm>
#include <string>

#include "base/strings.h"

namespace berth::oci {

namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool IsAscii(char c) { return static_cast<unsigned char>(c) < 0x80; }

// Follows strings and comments as the parser does, up to the parser's first error at least.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {
    if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
  }

  Result<> Check() {
    const std::string valid = ToValidUtf8(text_);
    if (valid != text_) {
      const auto differs = std::mismatch(text_.begin(), text_.end(), valid.begin()).first;
      at_ = static_cast<size_t>(differs - text_.begin());
      return Fail("not UTF-8");
    }
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (At("\"\"\"") || At("'''")) {
        TRY(SkipMultiLine(c));
      } else if (c == '"' || c == '\'') {
        SkipOneLine(c);
      } else if (!IsAscii(c)) {
        return Fail("a character that is not ASCII outside of strings and comments");
      } else {
        ++at_;
      }
    }
    return Ok();
  }

 private:
  bool At(std::string_view what) const { return text_.substr(at_).starts_with(what); }

  void SkipOneLine(char quote) {
    for (++at_; at_ < text_.size() && text_[at_] != '\n'; ++at_) {
      if (text_[at_] == quote) {
        ++at_;
        return;
      }
      if (text_[at_] == '\\' && quote == '"') ++at_;
    }
    at_ = std::min(at_, text_.size());
  }

  // Up to two more quotes may stand before the closing three.
  Result<> SkipMultiLine(char quote) {
    at_ += 3;
    while (at_ < text_.size()) {
      if (text_[at_] == quote) {
        size_t run = 1;
        while (run < 5 && at_ + run < text_.size() && text_[at_ + run] == quote) ++run;
        at_ += run;
        if (run >= 3) return Ok();
      } else if (text_[at_] == '\\' && quote == '"') {
        TRY(SkipEscape());
      } else {
        ++at_;
      }
    }
    return Ok();
  }

  Result<> SkipEscape() {
    ++at_;
    const size_t next = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    if (next < text_.size() && !IsAscii(text_[next])) {
      const bool line_end = next > at_;
      at_ = next;
      return Fail(line_end ? "a character that is not ASCII after a line that ends in a backslash"
                           : "a character that is not ASCII after a backslash");
    }
    at_ = next > at_ ? next : std::min(at_ + 1, text_.size());
    return Ok();
  }

  Error Fail(std::string_view what) const {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<long>(at_), '\n');
    return Error(Code::kInvalidArgument, StrCat("line ", line, ": ", what));
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Result<> CheckToml(std::string_view text) { return Scanner(text).Check(); }

}  // namespace berth::oci
