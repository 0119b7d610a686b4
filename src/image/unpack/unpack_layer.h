// SPDX-License-Identifier: Apache-2.0
// One layer from its compressed stream to the overlay form, inside whatever sandbox the caller
// made. One thread calls it.
#pragma once

#include "base/result.h"
#include "image/unpack/layer_writer.h"
#include "image/unpack/limits.h"
#include "image/unpack/pipeline.h"
#include "image/unpack_protocol.h"
#include "os/fd.h"

namespace berth::image::unpack {

// `root` is an empty directory. Reads `input` to its end; on an error the directory is left as far
// as it came.
Result<LayerResult> UnpackLayer(os::Fd root, os::Fd input, Hasher hasher, OpaqueMarker& marker,
                                const Limits& limits);

}  // namespace berth::image::unpack
