// SPDX-License-Identifier: Apache-2.0
#include <yaml.h>

#include <cmath>
#include <cstdlib>

#include "base/strings.h"
#include "oci/yaml_internal.h"

namespace berth::oci {

namespace {

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&event); }
  yaml_event_t event{};
};

std::string_view TextOf(const yaml_char_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// "0x1f", "0660", "0o660", "-12": what Go's YAML makes of a plain scalar.
std::optional<int64_t> WholeNumber(std::string_view text) {
  std::string digits(text);
  bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.erase(0, 1);
  if (digits.empty() || digits[0] < '0' || digits[0] > '9') return std::nullopt;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0o")) {
    base = digits[1] == 'x' ? 16 : 8;
    digits.erase(0, 2);
  } else if (digits.size() > 1 && digits[0] == '0') {
    base = 8;
  }
  if (digits.empty() || digits[0] == '-' || digits[0] == '+' || digits[0] == ' ') {
    return std::nullopt;
  }
  char* end = nullptr;
  errno = 0;
  long long value = std::strtoll(digits.c_str(), &end, base);
  if (errno != 0 || *end != '\0') return std::nullopt;
  return negative ? -value : value;
}

Json PlainScalar(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return {};
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (std::optional<int64_t> number = WholeNumber(text)) return *number;
  if (text.find_first_not_of("0123456789+-.eE") == std::string_view::npos &&
      text.find_first_of("0123456789") != std::string_view::npos) {
    std::string copy(text);
    char* end = nullptr;
    double value = std::strtod(copy.c_str(), &end);
    if (*end == '\0' && std::isfinite(value)) return value;
  }
  return std::string(text);
}

class Loader {
 public:
  Loader(std::string_view text, const JsonLimits& limits, std::string_view what)
      : limits_(limits), what_(what) {
    initialized_ = yaml_parser_initialize(&parser_) == 1;
    if (!initialized_) return;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader() {
    if (initialized_) yaml_parser_delete(&parser_);
  }

  Result<Json> Document() {
    if (!initialized_) return Error(Code::kResourceExhausted, StrCat(what_, ": out of memory"));
    TRY(Expect(YAML_STREAM_START_EVENT, "the start of the text"));
    TRY(Expect(YAML_DOCUMENT_START_EVENT, "a document"));
    Event first;
    TRY(Next(first));
    Json value = TRY(Value(first, 0));
    TRY(Expect(YAML_DOCUMENT_END_EVENT, "the end of the document"));
    TRY(Expect(YAML_STREAM_END_EVENT, "a single document"));
    return value;
  }

 private:
  Error Fail(std::string_view problem, size_t line) const {
    return Error(Code::kInvalidArgument, StrCat(what_, ": line ", line + 1, ": ", problem));
  }
  Result<> Next(Event& out) {
    if (yaml_parser_parse(&parser_, &out.event) == 1) return Ok();
    const char* problem = parser_.problem != nullptr ? parser_.problem : "cannot be read";
    return Fail(problem, parser_.problem_mark.line);
  }
  Result<> Expect(yaml_event_type_t type, std::string_view name) {
    Event event;
    TRY(Next(event));
    if (event.event.type == type) return Ok();
    return Fail(StrCat("expected ", name), event.event.start_mark.line);
  }

  Result<> CheckPlain(const yaml_char_t* anchor, const yaml_char_t* tag, size_t line) const {
    if (anchor != nullptr) return Fail("anchors are not supported", line);
    if (tag != nullptr) return Fail("tags are not supported", line);
    return Ok();
  }

  Result<Json> Value(const Event& holder, size_t depth) {
    const yaml_event_t& event = holder.event;
    const size_t line = event.start_mark.line;
    if (depth > limits_.max_depth) return Fail("nested too deeply", line);
    if (++values_ > limits_.max_values) return Fail("too many values", line);
    switch (event.type) {
      case YAML_SCALAR_EVENT: {
        const auto& scalar = event.data.scalar;
        TRY(CheckPlain(scalar.anchor, scalar.tag, line));
        std::string_view text = TextOf(scalar.value, scalar.length);
        if (text.find('\0') != std::string_view::npos) return Fail("a zero byte", line);
        if (scalar.style == YAML_PLAIN_SCALAR_STYLE) return PlainScalar(text);
        return Json(std::string(text));
      }
      case YAML_SEQUENCE_START_EVENT:
        TRY(CheckPlain(event.data.sequence_start.anchor, event.data.sequence_start.tag, line));
        return Sequence(depth);
      case YAML_MAPPING_START_EVENT:
        TRY(CheckPlain(event.data.mapping_start.anchor, event.data.mapping_start.tag, line));
        return Mapping(depth);
      case YAML_ALIAS_EVENT:
        return Fail("aliases are not supported", line);
      default:
        return Fail("expected a value", line);
    }
  }

  Result<Json> Sequence(size_t depth) {
    Json out = Json::array();
    for (;;) {
      Event event;
      TRY(Next(event));
      if (event.event.type == YAML_SEQUENCE_END_EVENT) return out;
      out.push_back(TRY(Value(event, depth + 1)));
    }
  }

  Result<Json> Mapping(size_t depth) {
    Json out = Json::object();
    for (;;) {
      Event key;
      TRY(Next(key));
      if (key.event.type == YAML_MAPPING_END_EVENT) return out;
      const size_t line = key.event.start_mark.line;
      if (key.event.type != YAML_SCALAR_EVENT) return Fail("a key is not a text", line);
      const auto& scalar = key.event.data.scalar;
      TRY(CheckPlain(scalar.anchor, scalar.tag, line));
      std::string name(TextOf(scalar.value, scalar.length));
      if (name.find('\0') != std::string::npos) return Fail("a zero byte", line);
      if (out.contains(name)) return Fail(StrCat("key ", Quote(name), " twice"), line);
      if (++values_ > limits_.max_values) return Fail("too many values", line);
      Event value;
      TRY(Next(value));
      out[name] = TRY(Value(value, depth + 1));
    }
  }

  const JsonLimits limits_;
  const std::string_view what_;
  yaml_parser_t parser_{};
  bool initialized_ = false;
  size_t values_ = 0;
};

}  // namespace

Result<Json> ParseYaml(std::string_view text, const JsonLimits& limits, std::string_view what) {
  if (text.size() > limits.max_bytes) {
    return Error(Code::kInvalidArgument,
                 StrCat(what, ": longer than ", limits.max_bytes, " bytes"));
  }
  return Loader(text, limits, what).Document();
}

}  // namespace berth::oci
