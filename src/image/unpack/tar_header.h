// SPDX-License-Identifier: Apache-2.0
// The fixed and the extended headers of tar: v7, ustar, GNU and PAX. Pure functions on bytes; any
// thread. Format: POSIX.1-2017 pax "ustar Interchange Format"; GNU tar manual "Basic Tar Format",
// "Sparse Formats".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "image/unpack/limits.h"
#include "image/unpack/tar_entry.h"

namespace berth::image::unpack {

inline constexpr size_t kBlock = 512;

// One 512-byte header, decoded. Errors are DataLoss: "tar header: ...".
struct RawHeader {
  char type = '0';
  std::string name;  // ustar prefix joined
  std::string link;
  uint64_t size = 0;
  mode_t mode = 0;
  uint64_t uid = 0;
  uint64_t gid = 0;
  int64_t mtime = 0;
  uint64_t major = 0;
  uint64_t minor = 0;
  // GNU 'S' only.
  std::vector<SparseRegion> regions;
  uint64_t real_size = 0;
  bool extended = false;  // a block of further regions follows
};
Result<RawHeader> ParseHeader(std::string_view block);
bool IsZeroBlock(std::string_view block);
// A GNU 'S' continuation block: appends its regions, returns whether another one follows.
Result<bool> ParseSparseBlock(std::string_view block, std::vector<SparseRegion>& regions);

// The records of a PAX 'x' header that matter here.
struct PaxRecords {
  std::optional<std::string> path;
  std::optional<std::string> link;
  std::optional<uint64_t> size;
  std::optional<uint64_t> uid;
  std::optional<uint64_t> gid;
  std::optional<struct timespec> mtime;
  std::optional<struct timespec> atime;
  // SCHILY.xattr.*, in order, the last of a name wins.
  std::vector<std::pair<std::string, std::string>> xattrs;
  // GNU.sparse.*
  std::optional<std::string> sparse_name;
  std::optional<uint64_t> sparse_size;
  std::vector<SparseRegion> regions;
  bool sparse = false;
  bool sparse_map_in_data = false;  // format 1.0
};
// DataLoss for a broken record, ResourceExhausted above a limit.
Result<PaxRecords> ParsePax(std::string_view bytes, const Limits& limits);

// The regions are ascending, do not overlap, end within `size` and hold `stored` bytes together.
Result<> CheckRegions(const std::vector<SparseRegion>& regions, uint64_t size, uint64_t stored);

Error TarError(std::string_view what);

}  // namespace berth::image::unpack
