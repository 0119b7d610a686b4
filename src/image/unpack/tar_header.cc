// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/tar_header.h"

#include <algorithm>
#include <limits>

#include "base/strings.h"

namespace berth::image::unpack {

namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();

// Text up to the first NUL or the field's end.
std::string Field(std::string_view block, size_t offset, size_t size) {
  const std::string_view field = block.substr(offset, size);
  return std::string(field.substr(0, field.find('\0')));
}

// GNU's binary form: the top bit of the first byte is set, the rest is a big-endian two's
// complement number.
Result<int64_t> Base256(std::string_view field, std::string_view what) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(field[i]); };
  const bool negative = (byte(0) & 0x40) != 0;
  uint64_t value = negative ? ~uint64_t{0} : 0;
  const uint64_t sign_bits = negative ? 0xff : 0;
  for (size_t i = 0; i < field.size(); ++i) {
    uint64_t b = byte(i);
    if (i == 0) b = negative ? (b | 0x80) : (b & 0x7f);
    if ((value >> 56) != sign_bits) return TarError(StrCat(what, " is too large"));
    value = (value << 8) | b;
  }
  const auto result = static_cast<int64_t>(value);
  if ((result < 0) != negative) return TarError(StrCat(what, " is too large"));
  return result;
}

// Octal digits between spaces and NULs; an empty field is 0.
Result<int64_t> Number(std::string_view block, size_t offset, size_t size, std::string_view what) {
  std::string_view field = block.substr(offset, size);
  if ((static_cast<uint8_t>(field[0]) & 0x80) != 0) return Base256(field, what);
  while (!field.empty() && (field.front() == ' ' || field.front() == '\0')) field.remove_prefix(1);
  int64_t value = 0;
  size_t i = 0;
  for (; i < field.size() && field[i] >= '0' && field[i] <= '7'; ++i) {
    if (value > (kMaxInt >> 3)) return TarError(StrCat(what, " is too large"));
    value = value * 8 + (field[i] - '0');
  }
  for (; i < field.size(); ++i)
    if (field[i] != ' ' && field[i] != '\0') return TarError(StrCat(what, " is no number"));
  return value;
}

Result<uint64_t> Unsigned(std::string_view block, size_t offset, size_t size,
                          std::string_view what) {
  const int64_t value = TRY(Number(block, offset, size, what));
  if (value < 0) return TarError(StrCat(what, " is negative"));
  return static_cast<uint64_t>(value);
}

// Some old writers summed signed characters; both are accepted, as every reader does.
Result<> CheckSum(std::string_view block) {
  int64_t plain = 0, with_sign = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block[i];
    plain += static_cast<uint8_t>(c);
    with_sign += static_cast<signed char>(c);
  }
  const int64_t stored = TRY(Number(block, 148, 8, "checksum"));
  if (stored != plain && stored != with_sign) return TarError("wrong checksum: this is no tar");
  return Ok();
}

// Pairs of 12-byte numbers until the first empty one.
Result<> SparsePairs(std::string_view block, size_t offset, int count,
                     std::vector<SparseRegion>& regions) {
  for (int i = 0; i < count; ++i, offset += 24) {
    if (block[offset] == '\0') break;
    SparseRegion region;
    region.offset = TRY(Unsigned(block, offset, 12, "sparse offset"));
    region.size = TRY(Unsigned(block, offset + 12, 12, "sparse size"));
    regions.push_back(region);
  }
  return Ok();
}

}  // namespace

Error TarError(std::string_view what) { return Error(Code::kDataLoss, StrCat("tar: ", what)); }

bool IsZeroBlock(std::string_view block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
}

Result<RawHeader> ParseHeader(std::string_view block) {
  TRY(CheckSum(block));
  RawHeader h;
  h.name = Field(block, 0, 100);
  h.mode = static_cast<mode_t>(TRY(Unsigned(block, 100, 8, "mode")) & 07777);
  h.uid = TRY(Unsigned(block, 108, 8, "uid"));
  h.gid = TRY(Unsigned(block, 116, 8, "gid"));
  h.size = TRY(Unsigned(block, 124, 12, "size"));
  h.mtime = TRY(Number(block, 136, 12, "mtime"));
  h.type = block[156] == '\0' ? '0' : block[156];
  h.link = Field(block, 157, 100);
  const std::string_view magic = block.substr(257, 6);
  const bool ustar = magic == std::string_view("ustar\0", 6);
  const bool gnu = magic == "ustar ";
  if (ustar || gnu) {
    h.major = TRY(Unsigned(block, 329, 8, "device major"));
    h.minor = TRY(Unsigned(block, 337, 8, "device minor"));
  }
  if (ustar) {
    const std::string prefix = Field(block, 345, 155);
    if (!prefix.empty()) h.name = StrCat(prefix, "/", h.name);
  }
  if (h.type == 'S') {
    if (!gnu) return TarError("sparse entry in a header that is not GNU's");
    TRY(SparsePairs(block, 386, 4, h.regions));
    h.extended = block[482] != '\0';
    h.real_size = TRY(Unsigned(block, 483, 12, "real size"));
  }
  return h;
}

Result<bool> ParseSparseBlock(std::string_view block, std::vector<SparseRegion>& regions) {
  TRY(SparsePairs(block, 0, 21, regions));
  return block[504] != '\0';
}

Result<> CheckRegions(const std::vector<SparseRegion>& regions, uint64_t size, uint64_t stored) {
  uint64_t end = 0, total = 0;
  for (const SparseRegion& r : regions) {
    if (r.offset < end || r.offset > size || r.size > size - r.offset)
      return TarError("sparse map is out of order or beyond the file");
    end = r.offset + r.size;
    total += r.size;  // at most `size`: the regions do not overlap
  }
  if (total != stored) return TarError("sparse map does not fit the stored size");
  return Ok();
}

}  // namespace berth::image::unpack
