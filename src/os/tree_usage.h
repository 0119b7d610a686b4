// SPDX-License-Identifier: Apache-2.0
// How much a directory tree takes on its file system. Pure reading; any thread. The tree may belong to a
// container that changes it meanwhile: nothing outside it is ever opened.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "os/dir_fd.h"

namespace berth::os {

struct TreeUsage {
  uint64_t bytes = 0;   // allocated blocks, as du(1) counts them
  uint64_t inodes = 0;  // the directory itself included
};

// Links are not followed and mounts not entered; a file with several names counts once. What goes away meanwhile
// does not count. ResourceExhausted above `max_inodes`, or when more than 1024 directories with directories
// beside each other lie inside one another.
Result<TreeUsage> MeasureTree(const DirFd& dir, uint64_t max_inodes);

}  // namespace berth::os
