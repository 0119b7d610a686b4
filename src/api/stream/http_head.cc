// SPDX-License-Identifier: Apache-2.0
#include "api/stream/http_head.h"

#include <algorithm>
#include <string_view>

#include "base/strings.h"

namespace berth::stream {

namespace {

Error Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

// RFC 9110, 5.6.2.
bool IsTokenChar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}
// Printable ASCII and bytes above it; a tab is allowed inside.
bool IsValueChar(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}
bool IsTargetChar(char c) { return c > 0x20 && c < 0x7f && c != '#' && c != '\\'; }

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

Result<> ParseRequestLine(std::string_view line, HttpHead& head) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return Bad("request line is not \"method target version\"");
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (!IsToken(method)) return Bad("method is not a token");
  if (line.substr(last + 1) != "HTTP/1.1") return Bad("version is not HTTP/1.1");
  if (target.empty() || target[0] != '/' ||
      !std::all_of(target.begin(), target.end(), IsTargetChar))
    return Bad("target is not a path");
  const size_t question = target.find('?');
  head.method = method;
  head.path = target.substr(0, question);
  if (question != std::string_view::npos) head.query = target.substr(question + 1);
  return Ok();
}

Result<> ParseField(std::string_view line, HttpHead& head) {
  if (head.fields.size() == kMaxHeadFields)
    return Bad(StrCat("more than ", kMaxHeadFields, " header fields"));
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon)))
    return Bad("header field without a name");
  const std::string_view value = TrimBlanks(line.substr(colon + 1));
  if (!std::all_of(value.begin(), value.end(), IsValueChar))
    return Bad("header field with a control character");
  head.fields.emplace_back(ToLower(line.substr(0, colon)), value);
  return Ok();
}

Result<> CheckFields(const HttpHead& head) {
  if (TRY(head.Single("host")).empty()) return Bad("no Host header field");
  const std::string_view length = TRY(head.Single("content-length"));
  for (const auto& [name, value] : head.fields) {
    if (name == "transfer-encoding") return Bad("request with a body");
    if (name == "content-length" && length != "0") return Bad("request with a body");
  }
  return Ok();
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const int high = i + 1 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return Bad("query with a broken escape");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

}  // namespace

std::vector<std::string_view> HttpHead::List(std::string_view name) const {
  std::vector<std::string_view> found;
  for (const auto& [field, value] : fields) {
    if (field != name) continue;
    for (std::string_view piece : Split(value, ',')) {
      piece = TrimBlanks(piece);
      if (!piece.empty()) found.push_back(piece);
    }
  }
  return found;
}

bool HttpHead::Has(std::string_view name, std::string_view token) const {
  const std::string wanted = ToLower(token);
  for (std::string_view piece : List(name))
    if (ToLower(piece) == wanted) return true;
  return false;
}

Result<std::string_view> HttpHead::Single(std::string_view name) const {
  const std::string* found = nullptr;
  for (const auto& [field, value] : fields) {
    if (field != name) continue;
    if (found != nullptr) return Bad(StrCat("header field ", name, " comes twice"));
    found = &value;
  }
  return found == nullptr ? std::string_view() : std::string_view(*found);
}

Result<std::optional<HttpHead>> ParseHttpHead(std::string_view bytes) {
  const size_t end = bytes.substr(0, kMaxHead).find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (bytes.size() >= kMaxHead) return Bad(StrCat("head is longer than ", kMaxHead, " bytes"));
    return std::optional<HttpHead>();
  }
  HttpHead head;
  head.size = end + 4;
  std::string_view rest = bytes.substr(0, end + 2);
  for (bool first = true; !rest.empty(); first = false) {
    const size_t line_end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, line_end);
    rest.remove_prefix(line_end + 2);
    if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
      return Bad("line end is not CR LF");
    if (first) {
      TRY(ParseRequestLine(line, head));
    } else {
      TRY(ParseField(line, head));
    }
  }
  TRY(CheckFields(head));
  return std::optional<HttpHead>(std::move(head));
}

Result<std::vector<std::string>> QueryValues(std::string_view query, std::string_view name) {
  std::vector<std::string> values;
  for (std::string_view piece : Split(query, '&')) {
    const size_t equals = piece.find('=');
    const std::string key = TRY(PercentDecode(piece.substr(0, equals)));
    if (key != name) continue;
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : piece.substr(equals + 1);
    values.push_back(TRY(PercentDecode(value)));
  }
  return values;
}

}  // namespace berth::stream
