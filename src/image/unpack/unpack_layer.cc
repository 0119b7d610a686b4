// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/unpack_layer.h"

#include <memory>
#include <optional>
#include <utility>

namespace berth::image::unpack {

Result<LayerResult> UnpackLayer(os::Fd root, os::Fd input, Hasher hasher, OpaqueMarker& marker,
                                const Limits& limits) {
  const std::unique_ptr<Pipeline> stream =
      TRY(Pipeline::Start(std::move(input), std::move(hasher), limits.stream_bytes));
  TarReader reader(*stream, limits);
  LayerWriter writer(std::move(root), marker, limits);
  for (;;) {
    const std::optional<TarEntry> entry = TRY(reader.Next());
    if (!entry) break;
    TRY(writer.Apply(*entry, reader));
  }
  TRY(reader.Finish());
  TRY(writer.Finish());
  LayerResult result = writer.result();
  result.diff_id = TRY(stream->Digest());
  return result;
}

}  // namespace berth::image::unpack
