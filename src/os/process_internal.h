// SPDX-License-Identifier: Apache-2.0
// What Spawn and Run share. Private to src/os.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include "os/process.h"

namespace berth::os::internal {

// Spawn; with `new_group` the child leads a process group of its own, so that all of it can be
// killed at once.
Result<Process> SpawnInGroup(const SpawnOptions& options, bool new_group);

// <sys/pidfd.h> of glibc 2.36 declares these without extern "C", so C++ cannot link them.
inline int PidfdOpen(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)); }
inline int PidfdSendSignal(int pidfd, int signal) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0U));
}

}  // namespace berth::os::internal
