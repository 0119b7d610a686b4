// SPDX-License-Identifier: Apache-2.0
// Header blocks of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00, section 2.6.10): name/value pairs, compressed with zlib and
// a fixed dictionary; one zlib stream per direction for the life of a connection. One owner, one thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::stream::spdy {

inline constexpr size_t kMaxHeaderBytes = 16U << 10;  // of one block, inflated
inline constexpr size_t kMaxHeaders = 64;

using Headers = std::map<std::string, std::string, std::less<>>;

// The dictionary of SPDY/3, made from its parts.
std::string HeaderDictionary();

// The pairs of an inflated block. InvalidArgument: counts or lengths that are not there, upper case, an empty or
// doubled name, bytes left over.
Result<Headers> ParseHeaders(std::string_view inflated);

class HeaderInflater {
 public:
  static Result<std::unique_ptr<HeaderInflater>> Make();
  ~HeaderInflater();
  // DataLoss: the zlib stream is broken or more than kMaxHeaderBytes come out of it: the connection cannot go on.
  Result<std::string> Inflate(std::string_view block);

 private:
  HeaderInflater() = default;
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

class HeaderDeflater {
 public:
  static Result<std::unique_ptr<HeaderDeflater>> Make();
  ~HeaderDeflater();
  Result<std::string> Deflate(const Headers& headers);

 private:
  HeaderDeflater() = default;
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

}  // namespace berth::stream::spdy
