// SPDX-License-Identifier: Apache-2.0
// PAX extended headers ("<length> <keyword>=<value>\n") and GNU's sparse keywords in them.
#include <limits>

#include "base/strings.h"
#include "image/unpack/tar_header.h"

namespace berth::image::unpack {

namespace {

constexpr std::string_view kXattr = "SCHILY.xattr.";
constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();

Result<uint64_t> Decimal(std::string_view text, std::string_view what) {
  Result<int64_t> value = ParseInt(text, 0, kMaxInt, what);
  if (!value) return TarError(value.error().message());
  return static_cast<uint64_t>(*value);
}

// "-12.345": seconds with any number of digits; beyond nanoseconds they are cut off.
Result<struct timespec> Time(std::string_view text, std::string_view what) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t dot = text.find('.');
  struct timespec time{};
  time.tv_sec = static_cast<time_t>(TRY(Decimal(text.substr(0, dot), what)));
  if (dot != std::string_view::npos) {
    long scale = 100'000'000;
    for (char c : text.substr(dot + 1)) {
      if (c < '0' || c > '9') return TarError(StrCat(what, " is no time"));
      time.tv_nsec += scale * (c - '0');
      scale /= 10;
    }
  }
  if (negative) {
    time.tv_sec = -time.tv_sec;
    if (time.tv_nsec > 0) {
      time.tv_sec -= 1;
      time.tv_nsec = 1'000'000'000 - time.tv_nsec;
    }
  }
  return time;
}

Result<std::string> Name(std::string_view value, std::string_view what) {
  if (value.find('\0') != std::string_view::npos) return TarError(StrCat(what, " has a NUL byte"));
  return std::string(value);
}

// "offset,size,offset,size" of format 0.1.
Result<> SparseMap(std::string_view value, const Limits& limits, PaxRecords& out) {
  if (value.empty()) return Ok();
  const std::vector<std::string_view> numbers = Split(value, ',');
  if (numbers.size() % 2 != 0) return TarError("sparse map of an odd length");
  if (numbers.size() / 2 > limits.sparse_regions)
    return Error(Code::kResourceExhausted, "tar: sparse map has too many regions");
  for (size_t i = 0; i < numbers.size(); i += 2)
    out.regions.push_back(
        {TRY(Decimal(numbers[i], "sparse offset")), TRY(Decimal(numbers[i + 1], "sparse size"))});
  return Ok();
}

Result<> SparseRecord(std::string_view key, std::string_view value, const Limits& limits,
                      PaxRecords& out) {
  key.remove_prefix(std::string_view("GNU.sparse.").size());
  out.sparse = true;
  if (key == "major") {
    if (value != "1" && value != "0") return TarError("sparse format is unknown");
    out.sparse_map_in_data = value == "1";
  } else if (key == "name") {
    out.sparse_name = TRY(Name(value, "sparse name"));
  } else if (key == "size" || key == "realsize") {
    out.sparse_size = TRY(Decimal(value, "sparse size"));
  } else if (key == "map") {
    TRY(SparseMap(value, limits, out));
  } else if (key == "offset") {
    if (out.regions.size() >= limits.sparse_regions)
      return Error(Code::kResourceExhausted, "tar: sparse map has too many regions");
    out.regions.push_back({TRY(Decimal(value, "sparse offset")), 0});
  } else if (key == "numbytes") {
    if (out.regions.empty()) return TarError("sparse size without an offset");
    out.regions.back().size = TRY(Decimal(value, "sparse size"));
  }
  return Ok();
}

Result<> XattrRecord(std::string_view name, std::string_view value, const Limits& limits,
                     PaxRecords& out) {
  if (name.empty() || name.size() > limits.component || name.find('\0') != std::string_view::npos)
    return TarError("extended attribute with a bad name");
  if (value.size() > limits.xattr_value || out.xattrs.size() >= limits.xattrs)
    return Error(Code::kResourceExhausted, "tar: extended attributes beyond the limit");
  for (auto& [known, old] : out.xattrs) {
    if (known == name) {
      old = std::string(value);
      return Ok();
    }
  }
  out.xattrs.emplace_back(name, value);
  return Ok();
}

Result<> Record(std::string_view key, std::string_view value, const Limits& limits,
                PaxRecords& out) {
  if (key.starts_with(kXattr)) return XattrRecord(key.substr(kXattr.size()), value, limits, out);
  if (key.starts_with("GNU.sparse.")) return SparseRecord(key, value, limits, out);
  // POSIX: an empty value deletes the keyword, so the header's own value holds.
  const bool deleted = value.empty();
  if (key == "path") {
    out.path = TRY(Name(value, "path"));
    if (deleted) out.path.reset();
  } else if (key == "linkpath") {
    out.link = TRY(Name(value, "linkpath"));
    if (deleted) out.link.reset();
  } else if (deleted) {
    return Ok();
  } else if (key == "size") {
    out.size = TRY(Decimal(value, "size"));
  } else if (key == "uid") {
    out.uid = TRY(Decimal(value, "uid"));
  } else if (key == "gid") {
    out.gid = TRY(Decimal(value, "gid"));
  } else if (key == "mtime") {
    out.mtime = TRY(Time(value, "mtime"));
  } else if (key == "atime") {
    out.atime = TRY(Time(value, "atime"));
  }
  return Ok();
}

}  // namespace

Result<PaxRecords> ParsePax(std::string_view bytes, const Limits& limits) {
  PaxRecords out;
  while (!bytes.empty()) {
    const size_t space = bytes.find(' ');
    if (space == std::string_view::npos || space > 10)
      return TarError("PAX record without a length");
    const uint64_t length = TRY(Decimal(bytes.substr(0, space), "PAX record length"));
    if (length <= space + 1 || length > bytes.size())
      return TarError("PAX record length is beyond the header");
    std::string_view record = bytes.substr(0, length);
    bytes.remove_prefix(length);
    if (!record.ends_with('\n')) return TarError("PAX record without its end");
    record = record.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == 0 || equals == std::string_view::npos)
      return TarError("PAX record without a keyword");
    TRY(Record(record.substr(0, equals), record.substr(equals + 1), limits, out));
  }
  return out;
}

}  // namespace berth::image::unpack
