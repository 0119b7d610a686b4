// SPDX-License-Identifier: Apache-2.0
#include "api/stream/spdy_headers.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace berth::stream::spdy {

namespace {

// Names and values of the dictionary that stand there with their length before them.
constexpr std::string_view kWords[] = {"options",
                                       "head",
                                       "post",
                                       "put",
                                       "delete",
                                       "trace",
                                       "accept",
                                       "accept-charset",
                                       "accept-encoding",
                                       "accept-language",
                                       "accept-ranges",
                                       "age",
                                       "allow",
                                       "authorization",
                                       "cache-control",
                                       "connection",
                                       "content-base",
                                       "content-encoding",
                                       "content-language",
                                       "content-length",
                                       "content-location",
                                       "content-md5",
                                       "content-range",
                                       "content-type",
                                       "date",
                                       "etag",
                                       "expect",
                                       "expires",
                                       "from",
                                       "host",
                                       "if-match",
                                       "if-modified-since",
                                       "if-none-match",
                                       "if-range",
                                       "if-unmodified-since",
                                       "last-modified",
                                       "location",
                                       "max-forwards",
                                       "pragma",
                                       "proxy-authenticate",
                                       "proxy-authorization",
                                       "range",
                                       "referer",
                                       "retry-after",
                                       "server",
                                       "te",
                                       "trailer",
                                       "transfer-encoding",
                                       "upgrade",
                                       "user-agent",
                                       "vary",
                                       "via",
                                       "warning",
                                       "www-authenticate",
                                       "method",
                                       "get",
                                       "status",
                                       "200 OK",
                                       "version",
                                       "HTTP/1.1",
                                       "url",
                                       "public",
                                       "set-cookie",
                                       "keep-alive",
                                       "origin"};
constexpr std::string_view kTail =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

Error Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

void Store(std::string& out, size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}
void StoreText(std::string& out, std::string_view text) {
  Store(out, text.size());
  out += text;
}

class BlockReader {
 public:
  explicit BlockReader(std::string_view rest) : rest_(rest) {}
  size_t left() const { return rest_.size(); }
  Result<size_t> Number() {
    if (rest_.size() < 4) return Bad("header block is cut short");
    size_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(rest_[i]);
    rest_.remove_prefix(4);
    return value;
  }
  Result<std::string_view> Text() {
    const size_t size = TRY(Number());
    if (size > rest_.size()) return Bad("header block is cut short");
    const std::string_view text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return text;
  }

 private:
  std::string_view rest_;
};

bool IsNameChar(char c) { return c > 0x20 && c < 0x7f && !(c >= 'A' && c <= 'Z'); }

const Bytef* Bytes(std::string_view text) { return reinterpret_cast<const Bytef*>(text.data()); }

Result<> SetDictionary(z_stream& z, int (*set)(z_streamp, const Bytef*, uInt)) {
  const std::string dictionary = HeaderDictionary();
  if (set(&z, Bytes(dictionary), static_cast<uInt>(dictionary.size())) != Z_OK)
    return Error(Code::kDataLoss, "header block with another dictionary");
  return Ok();
}

}  // namespace

std::string HeaderDictionary() {
  std::string dictionary;
  for (std::string_view word : kWords) StoreText(dictionary, word);
  return dictionary += kTail;
}

Result<Headers> ParseHeaders(std::string_view inflated) {
  BlockReader reader(inflated);
  const size_t count = TRY(reader.Number());
  // Each pair takes at least its two lengths.
  if (count > kMaxHeaders || count > reader.left() / 8)
    return Bad(StrCat("header block of ", count, " headers"));
  Headers headers;
  for (size_t i = 0; i < count; ++i) {
    const std::string_view name = TRY(reader.Text());
    const std::string_view value = TRY(reader.Text());
    if (name.empty() || !std::all_of(name.begin(), name.end(), IsNameChar))
      return Bad(StrCat("header name ", Quote(name)));
    if (!headers.emplace(name, value).second)
      return Bad(StrCat("header ", Quote(name), " comes twice"));
  }
  if (reader.left() != 0) return Bad("header block with bytes left over");
  return headers;
}

struct HeaderInflater::Stream {
  z_stream z{};
};

Result<std::unique_ptr<HeaderInflater>> HeaderInflater::Make() {
  std::unique_ptr<HeaderInflater> inflater(new HeaderInflater);
  auto stream = std::make_unique<Stream>();
  if (inflateInit(&stream->z) != Z_OK) return Error(Code::kResourceExhausted, "zlib: no memory");
  inflater->stream_ = std::move(stream);
  return inflater;
}

HeaderInflater::~HeaderInflater() {
  if (stream_) inflateEnd(&stream_->z);
}

Result<std::string> HeaderInflater::Inflate(std::string_view block) {
  z_stream& z = stream_->z;
  z.next_in = const_cast<Bytef*>(Bytes(block));
  z.avail_in = static_cast<uInt>(block.size());
  std::string out;
  std::array<char, 1024> piece;
  do {
    z.next_out = reinterpret_cast<Bytef*>(piece.data());
    z.avail_out = static_cast<uInt>(piece.size());
    const int rc = inflate(&z, Z_SYNC_FLUSH);
    if (rc == Z_NEED_DICT) {
      TRY(SetDictionary(z, inflateSetDictionary));
      continue;
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR) return Error(Code::kDataLoss, "header block is not zlib");
    out.append(piece.data(), piece.size() - z.avail_out);
    if (out.size() > kMaxHeaderBytes)
      return Error(Code::kDataLoss,
                   StrCat("header block of more than ", kMaxHeaderBytes, " bytes"));
  } while (z.avail_out == 0 || z.avail_in != 0);
  return out;
}

struct HeaderDeflater::Stream {
  z_stream z{};
};

Result<std::unique_ptr<HeaderDeflater>> HeaderDeflater::Make() {
  std::unique_ptr<HeaderDeflater> deflater(new HeaderDeflater);
  auto stream = std::make_unique<Stream>();
  // The smallest window and tables that zlib has: replies carry next to nothing.
  if (deflateInit2(&stream->z, Z_BEST_SPEED, Z_DEFLATED, 11, 1, Z_DEFAULT_STRATEGY) != Z_OK)
    return Error(Code::kResourceExhausted, "zlib: no memory");
  deflater->stream_ = std::move(stream);
  TRY(SetDictionary(deflater->stream_->z, deflateSetDictionary));
  return deflater;
}

HeaderDeflater::~HeaderDeflater() {
  if (stream_) deflateEnd(&stream_->z);
}

Result<std::string> HeaderDeflater::Deflate(const Headers& headers) {
  std::string block;
  Store(block, headers.size());
  for (const auto& [name, value] : headers) {
    StoreText(block, name);
    StoreText(block, value);
  }
  z_stream& z = stream_->z;
  z.next_in = const_cast<Bytef*>(Bytes(block));
  z.avail_in = static_cast<uInt>(block.size());
  std::string out;
  std::array<char, 512> piece;
  do {
    z.next_out = reinterpret_cast<Bytef*>(piece.data());
    z.avail_out = static_cast<uInt>(piece.size());
    const int rc = deflate(&z, Z_SYNC_FLUSH);
    if (rc != Z_OK && rc != Z_BUF_ERROR) return Error(Code::kInternal, "zlib does not deflate");
    out.append(piece.data(), piece.size() - z.avail_out);
  } while (z.avail_out == 0);
  return out;
}

}  // namespace berth::stream::spdy
