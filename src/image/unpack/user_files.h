// SPDX-License-Identifier: Apache-2.0
// Reads one of an image's user files without being fooled by what the image put there. Stateless;
// any thread.
#pragma once

#include <string>

#include "base/result.h"

namespace berth::image::unpack {

// The regular file `path`, as seen from inside the tree `root`; "" when there is none.
// FailedPrecondition for anything that is not a regular file, ResourceExhausted above kMaxUserFile
// (CVE-2024-9676, CVE-2025-4437).
Result<std::string> ReadUserFile(int root, const std::string& path);

}  // namespace berth::image::unpack
