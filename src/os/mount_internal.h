// SPDX-License-Identifier: Apache-2.0
// The parts of mounting that tests and netns.cc need too. Private to src/os.
#pragma once

#include <string>

#include "os/mount.h"

namespace berth::os::internal {

// How overlay is told its directories, best first.
enum class OverlayStyle {
  kFd,      // "lowerdir+" by descriptor: Linux 6.13
  kPath,    // "lowerdir+" by path: Linux 6.8
  kOption,  // "lowerdir=a:b": any
};
// `unknown_style` becomes true when the error may only mean that the kernel does not know this
// style.
Result<Mount> OverlayBy(OverlayStyle style, const OverlayOptions& options,
                        MountAttributes attributes, bool& unknown_style);

// Is the fd the root of a mount (statx(2) STATX_ATTR_MOUNT_ROOT)?
Result<bool> IsMountRoot(int fd);
// Makes `path` a mount point if it is none, by binding it to itself, and sets its propagation.
Result<> EnsureMountPoint(const std::string& path, unsigned long propagation);

}  // namespace berth::os::internal
