// SPDX-License-Identifier: Apache-2.0
#include "oci/json.h"

#include <exception>
#include <set>
#include <string>
#include <utility>

#include "base/strings.h"
#include "oci/json_internal.h"

namespace berth::oci {

namespace {

// The parser is not recursive, so a deep text costs nothing before this scanner stops it; a deep
// tree would overflow the stack later, in dump() and in other readers.
class Scanner : public nlohmann::json_sax<Json> {
 public:
  Scanner(const JsonLimits& limits) : limits_(limits) {}
  const std::string& problem() const { return problem_; }

  bool null() override { return Count(); }
  bool boolean(bool) override { return Count(); }
  bool number_integer(number_integer_t) override { return Count(); }
  bool number_unsigned(number_unsigned_t) override { return Count(); }
  bool number_float(number_float_t, const string_t&) override { return Count(); }
  bool string(string_t& text) override { return Count() && CheckText(text); }
  bool binary(binary_t&) override { return Stop("binary value"); }
  bool start_object(std::size_t) override { return Open(); }
  bool start_array(std::size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& text) override {
    if (!Count() || !CheckText(text)) return false;
    if (limits_.duplicate_keys == DuplicateKeys::kLastWins) return true;
    if (keys_.back().insert(text).second) return true;
    return Stop(StrCat("key ", Quote(text, 64), " appears twice in one object"));
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Stop(StrCat("not valid JSON near byte ", position));
  }

 private:
  bool Stop(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }
  bool Count() {
    if (++values_ <= limits_.max_values) return true;
    return Stop(StrCat("more than ", limits_.max_values, " values"));
  }
  // Such a string would be cut short when it becomes an argument or a path.
  bool CheckText(const std::string& text) {
    if (text.find('\0') == std::string::npos) return true;
    return Stop("a string contains U+0000");
  }
  bool Open() {
    if (keys_.size() == limits_.max_depth) {
      return Stop(StrCat("nested deeper than ", limits_.max_depth));
    }
    keys_.emplace_back();
    return Count();
  }
  bool Close() {
    keys_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  std::vector<std::set<std::string>> keys_;  // one per open array or object
  size_t values_ = 0;
  std::string problem_;
};

Error Invalid(std::string_view what, std::string_view problem) {
  return Error(Code::kInvalidArgument, StrCat(what, ": ", problem));
}

}  // namespace

Result<> CheckJson(std::string_view text, const JsonLimits& limits, std::string_view what) {
  if (text.size() > limits.max_bytes) {
    return Invalid(what, StrCat("larger than ", limits.max_bytes, " bytes"));
  }
  if (TrimSpace(text).empty()) return Invalid(what, "empty");
  if (text.starts_with("\xef\xbb\xbf")) return Invalid(what, "starts with a byte order mark");
  // The parser takes a NUL for the end and would not look at what follows.
  if (text.find('\0') != std::string_view::npos) return Invalid(what, "contains a NUL byte");
  Scanner scanner(limits);
  try {
    if (Json::sax_parse(text.begin(), text.end(), &scanner)) return Ok();
  } catch (const std::exception& e) {
    return Error(Code::kResourceExhausted, StrCat(what, ": ", e.what()));
  }
  return Invalid(what, scanner.problem().empty() ? "not valid JSON" : scanner.problem());
}

Result<Json> ParseJson(std::string_view text, const JsonLimits& limits, std::string_view what) {
  TRY(CheckJson(text, limits, what));
  try {
    Json root = Json::parse(text.begin(), text.end(), nullptr, false);
    if (root.is_discarded()) return Invalid(what, "not valid JSON");
    return root;
  } catch (const std::exception& e) {
    return Error(Code::kResourceExhausted, StrCat(what, ": ", e.what()));
  }
}

Result<std::string> DumpJson(const Json& value, std::string_view what) {
  try {
    return value.dump();
  } catch (const std::exception&) {
    return Invalid(what, "a string is not valid UTF-8");
  }
}

Error JsonReader::Fail(std::string_view problem) const {
  return path_.empty() ? Error(Code::kInvalidArgument, std::string(problem))
                       : Error(Code::kInvalidArgument, StrCat(path_, ": ", problem));
}

std::string JsonReader::PathOf(std::string_view key) const {
  bool plain = !key.empty() && key.size() <= 64;
  for (char c : key) plain = plain && c > ' ' && c < 127 && c != '"';
  std::string shown = plain ? std::string(key) : Quote(key, 64);
  return path_.empty() ? shown : StrCat(path_, ".", shown);
}

bool JsonReader::Has(std::string_view key) const {
  return value_->is_object() && value_->find(key) != value_->end();
}

Result<> JsonReader::ExpectObject() const {
  if (!value_->is_object()) return Fail("not an object");
  return Ok();
}

Result<JsonReader> JsonReader::Required(std::string_view key) const {
  TRY(ExpectObject());
  auto found = value_->find(key);
  if (found == value_->end()) return JsonReader(*value_, PathOf(key)).Fail("missing");
  if (found->is_null()) return JsonReader(*value_, PathOf(key)).Fail("is null");
  return JsonReader(*found, PathOf(key));
}

Result<std::optional<JsonReader>> JsonReader::Optional(std::string_view key) const {
  TRY(ExpectObject());
  auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) return std::optional<JsonReader>();
  return std::optional(JsonReader(*found, PathOf(key)));
}

Result<std::string> JsonReader::String() const {
  if (!value_->is_string()) return Fail("not a string");
  return *value_->get_ptr<const std::string*>();
}

Result<bool> JsonReader::Bool() const {
  if (!value_->is_boolean()) return Fail("not true or false");
  return *value_->get_ptr<const bool*>();
}

Result<int64_t> JsonReader::Int(int64_t min, int64_t max) const {
  if (!value_->is_number_integer()) return Fail("not a whole number");
  int64_t number = 0;
  // Numbers that are not negative are kept as unsigned, and may be too large for int64_t.
  if (const auto* wide = value_->get_ptr<const uint64_t*>()) {
    if (!std::in_range<int64_t>(*wide)) return Fail("number out of range");
    number = static_cast<int64_t>(*wide);
  } else {
    number = *value_->get_ptr<const int64_t*>();
  }
  if (number < min || number > max) {
    return Fail(StrCat("number out of range: ", number, " is not from ", min, " to ", max));
  }
  return number;
}

Result<std::vector<JsonReader>> JsonReader::Elements(size_t max) const {
  if (!value_->is_array()) return Fail("not an array");
  if (value_->size() > max) return Fail(StrCat("more than ", max, " elements"));
  std::vector<JsonReader> out;
  out.reserve(value_->size());
  for (const Json& element : *value_) {
    out.push_back(JsonReader(element, StrCat(path_, "[", out.size(), "]")));
  }
  return out;
}

Result<std::vector<std::pair<std::string, JsonReader>>> JsonReader::Members(size_t max) const {
  TRY(ExpectObject());
  if (value_->size() > max) return Fail(StrCat("more than ", max, " members"));
  std::vector<std::pair<std::string, JsonReader>> out;
  out.reserve(value_->size());
  for (auto it = value_->begin(); it != value_->end(); ++it) {
    out.emplace_back(it.key(), JsonReader(it.value(), PathOf(it.key())));
  }
  return out;
}

Result<std::vector<std::string>> JsonReader::Strings(size_t max) const {
  std::vector<std::string> out;
  for (const JsonReader& element : TRY(Elements(max))) out.push_back(TRY(element.String()));
  return out;
}

Result<std::map<std::string, std::string>> JsonReader::StringMap(size_t max) const {
  std::map<std::string, std::string> out;
  for (const auto& [key, member] : TRY(Members(max))) out.emplace(key, TRY(member.String()));
  return out;
}

Result<std::string> JsonReader::RequiredString(std::string_view key) const {
  JsonReader member = TRY(Required(key));
  std::string text = TRY(member.String());
  if (text.empty()) return member.Fail("empty");
  return text;
}

Result<std::string> JsonReader::OptionalString(std::string_view key) const {
  auto member = TRY(Optional(key));
  if (!member) return std::string();
  return member->String();
}

Result<std::vector<std::string>> JsonReader::OptionalStrings(std::string_view key,
                                                             size_t max) const {
  auto member = TRY(Optional(key));
  if (!member) return std::vector<std::string>();
  return member->Strings(max);
}

Result<std::map<std::string, std::string>> JsonReader::OptionalStringMap(std::string_view key,
                                                                         size_t max) const {
  auto member = TRY(Optional(key));
  if (!member) return std::map<std::string, std::string>();
  return member->StringMap(max);
}

}  // namespace berth::oci
