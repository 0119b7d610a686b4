// SPDX-License-Identifier: Apache-2.0
// What one layer may ask for at most. A value; the daemon chooses the budgets, the rest are
// constants of the format.
#pragma once

#include <cstddef>
#include <cstdint>

namespace berth::image::unpack {

struct Limits {
  // Budgets of the whole layer.
  uint64_t bytes = uint64_t{100} << 30;         // on disk: data, and a block for each inode
  uint64_t stream_bytes = uint64_t{200} << 30;  // of the tar after inflating, padding included
  uint64_t entries = 5'000'000;

  // One entry.
  uint64_t file_size = uint64_t{16}
                       << 40;  // apparent size: sparse files may be larger than the budget
  size_t path = 4095;          // bytes, as PATH_MAX without the NUL
  size_t component = 255;      // NAME_MAX
  size_t depth = 512;          // components in a path
  size_t special = 1U << 20;   // bytes of a PAX or GNU long name record
  size_t xattrs = 256;
  size_t xattr_value = 64U << 10;  // XATTR_SIZE_MAX
  size_t sparse_regions = 1U << 16;

  // Directories that the layer has entries in but does not describe; all of them go into the result
  // message.
  size_t implied_dirs = 100'000;
};

}  // namespace berth::image::unpack
