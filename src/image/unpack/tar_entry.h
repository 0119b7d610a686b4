// SPDX-License-Identifier: Apache-2.0
// One member of a tar archive as plain values, checked for syntax but not for meaning. Values; any
// thread.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "image/unpack/limits.h"

namespace berth::image::unpack {

enum class EntryType { kFile, kHardLink, kSymlink, kCharDevice, kBlockDevice, kDirectory, kFifo };

struct SparseRegion {
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct TarEntry {
  EntryType type = EntryType::kFile;
  std::string path;  // as it came; CleanPath makes it usable
  std::string link;  // target of a hard or symbolic link, as it came
  mode_t mode = 0;   // 07777 bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  struct timespec mtime{};
  std::optional<struct timespec> atime;
  uint64_t major = 0;
  uint64_t minor = 0;
  uint64_t size = 0;    // of the file once written
  uint64_t stored = 0;  // bytes of it in the archive
  bool sparse = false;
  // Of a sparse file: ascending, within `size`, together `stored` bytes.
  std::vector<SparseRegion> regions;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

// The path as seen from the layer's root, by text alone: no leading '/', no empty, "." or ".."
// element; ".." at the root stays there. "" is the root itself. InvalidArgument for NUL bytes,
// ResourceExhausted above a limit.
Result<std::string> CleanPath(const std::string& path, const Limits& limits);

}  // namespace berth::image::unpack
