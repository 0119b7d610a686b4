// SPDX-License-Identifier: Apache-2.0
// What Spawn and Run share. Private to src/os.
#pragma once

#include "os/process.h"

namespace berth::os::internal {

// Spawn; with `new_group` the child leads a process group of its own, so that all of it can be
// killed at once.
Result<Process> SpawnInGroup(const SpawnOptions& options, bool new_group);

}  // namespace berth::os::internal
