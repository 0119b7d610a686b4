// SPDX-License-Identifier: Apache-2.0
// The process of a monitor that an earlier daemon has started, and that may never have said its number. Plain functions;
// any thread; /proc is read.
#pragma once

#include "base/result.h"
#include "os/dir_fd.h"
#include "os/fd.h"

namespace berth::runtime {

// SIGKILL to the monitor whose run directory is `pod`, and waits a moment for its end: by `pidfd` if that is valid.
// Otherwise by what no other process has, a berth-monitor's descriptors with this very directory among them
// (monitor/protocol.h); that finds a process that it has forked and that has not executed its program yet as well, and
// ends it too. Nobody there: success.
Result<> KillOther(const os::DirFd& pod, const os::Fd& pidfd);

}  // namespace berth::runtime
