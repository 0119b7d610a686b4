// SPDX-License-Identifier: Apache-2.0
// pidfd_open(2) and pidfd_send_signal(2) by number: the header of glibc 2.36 declares them without
// C linkage.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include "os/fd.h"

namespace berth::monitor {

inline os::Fd OpenPidFd(int pid) {
  return os::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}
// -1 with errno.
inline int SendSignal(int pidfd, int signal) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

}  // namespace berth::monitor
