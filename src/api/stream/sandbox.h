// SPDX-License-Identifier: Apache-2.0
// Turns a root process into berth-stream: own uid, no capabilities, an empty root, few system calls. Called once by
// main, after the listener is bound, while the process has one thread and has not read a byte from a client.
#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace berth::stream {

struct SandboxOptions {
  uid_t uid = 65534;
  gid_t gid = 65534;
  // Fds that the process may have; the hard limit is not raised.
  unsigned int max_fds = 16384;
};

// The limit on fds that will be in force.
Result<unsigned int> AllowedFds(const SandboxOptions& options);

// PermissionDenied when not started as root.
Result<> EnterSandbox(const SandboxOptions& options);

}  // namespace berth::stream
