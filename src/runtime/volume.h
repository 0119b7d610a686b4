// SPDX-License-Identifier: Apache-2.0
// A volume that comes to a container as a mount object, because the host has no path to what it
// shows. Owned by whoever holds it; any one thread.
#pragma once

#include "os/mount.h"

namespace berth::runtime {

struct Volume {
  os::Mount mount;        // detached
  bool directory = true;  // else its root is a file
};

}  // namespace berth::runtime
