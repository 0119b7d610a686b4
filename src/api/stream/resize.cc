// SPDX-License-Identifier: Apache-2.0
#include "api/stream/resize.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace berth::stream {

namespace {

using Json = nlohmann::json;
constexpr size_t kMaxObject = 256;

std::optional<uint16_t> ToSize(const Json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > UINT16_MAX) return std::nullopt;
  return static_cast<uint16_t>(value.get<uint64_t>());
}

// Clients write the names as Go does, and Go's servers read them without regard to case.
std::optional<TerminalSize> Parse(const std::string& object) {
  const Json json = Json::parse(object, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  TerminalSize size;
  for (const auto& [name, value] : json.items()) {
    const std::string key = ToLower(name);
    if (key != "width" && key != "height") continue;
    const auto number = ToSize(value);
    if (!number) return std::nullopt;
    (key == "width" ? size.width : size.height) = *number;
  }
  return size;
}

}  // namespace

std::optional<TerminalSize> ResizeReader::Feed(std::string_view bytes) {
  std::optional<TerminalSize> last;
  for (char c : bytes) {
    if (broken_) break;
    const bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (object_.empty() && blank) continue;
    object_ += c;
    // No value of it holds a brace, so the first one ends it.
    if (c == '}') {
      const auto size = Parse(object_);
      object_.clear();
      if (size) last = size;
      broken_ = !size;
    } else if (object_[0] != '{' || object_.size() == kMaxObject) {
      broken_ = true;
    }
  }
  if (broken_) object_.clear();
  return last;
}

}  // namespace berth::stream
