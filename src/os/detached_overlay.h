// SPDX-License-Identifier: Apache-2.0
// Overlays of directories that lie in a detached mount, as a mount with shifted ids is. Blocking; any thread.
#pragma once

#include "base/result.h"
#include "os/mount.h"

namespace berth::os {

// Mount::Overlay for `options` whose lower directories are all in the detached mount `lower`; upper and work, if any,
// are called diff and work, in one directory. From Linux 6.15 the kernel makes it as it is. Before, it takes only
// directories of mounts in the caller's mount namespace: then that is one of a thread's own, where `lower` and
// the directory of upper and work are attached for the moment; nothing of it shows in the host's table.
// `options` and `lower` are used up.
Result<Mount> OverlayOfDetached(OverlayOptions options, Mount lower,
                                MountAttributes attributes = 0);

namespace internal {
// The way before Linux 6.15, which works later too.
Result<Mount> OverlayInOwnNamespace(OverlayOptions& options, Mount lower,
                                    MountAttributes attributes);
}  // namespace internal

}  // namespace berth::os
