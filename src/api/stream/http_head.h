// SPDX-License-Identifier: Apache-2.0
// The head of an HTTP/1.1 request (RFC 9110, RFC 9112), read strictly: what two parsers could understand differently is
// refused. Pure; any thread. Every error is InvalidArgument and safe to show to the client.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::stream {

inline constexpr size_t kMaxHead = 16U << 10;  // bytes, the empty line included
inline constexpr size_t kMaxHeadFields = 100;

struct HttpHead {
  std::string method;
  std::string path;                                         // without the query, not decoded
  std::string query;                                        // without the '?', not decoded
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case, values trimmed
  size_t size = 0;                                          // bytes of the head

  // All values of the field, split at commas, trimmed, the empty ones left out.
  std::vector<std::string_view> List(std::string_view name) const;
  // Whether `token` is in the list, without regard to case.
  bool Has(std::string_view name, std::string_view token) const;
  // The value of a field that may come once only. Empty when it is missing; an error when it comes
  // twice.
  Result<std::string_view> Single(std::string_view name) const;
};

// nullopt: the head is not complete yet. A head that is longer than kMaxHead is an error at once.
// Refused: line ends other than CR LF, folded lines, white space before a colon, control characters, targets that are
// not a plain path of printable ASCII, versions other than HTTP/1.1, no or two Host fields, any body
// (Content-Length other than 0, Transfer-Encoding).
Result<std::optional<HttpHead>> ParseHttpHead(std::string_view bytes);

// The values of one query parameter, percent-decoded. InvalidArgument for a broken escape.
Result<std::vector<std::string>> QueryValues(std::string_view query, std::string_view name);

}  // namespace berth::stream
