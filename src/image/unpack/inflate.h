// SPDX-License-Identifier: Apache-2.0
// The layer's compression, undone while it streams: gzip (RFC 1952, any number of members) by
// ISA-L, zstd (RFC 8878, any number of frames), or none; told apart by the first bytes, since media
// types lie. Owned by one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"

namespace berth::image::unpack {

// Frames that want a larger zstd window are refused: 128 MiB, what `zstd --ultra -22` makes.
inline constexpr int kMaxWindowLog = 27;

class Inflater {
 public:
  virtual ~Inflater() = default;

  struct Step {
    size_t taken = 0;  // of the input
    size_t made = 0;   // of the output
  };
  // Works on until the input is used up or the output is full. DataLoss for broken input,
  // ResourceExhausted for a window that is too large.
  virtual Result<Step> Run(std::string_view input, std::span<char> output) = 0;
  // The input is over: DataLoss when it ended in the middle.
  virtual Result<> End() = 0;
};

// Bytes of the start that MakeInflater needs to see (fewer only when there are no more).
inline constexpr size_t kMagicBytes = 4;
Result<std::unique_ptr<Inflater>> MakeInflater(std::string_view start);

}  // namespace berth::image::unpack
