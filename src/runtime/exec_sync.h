// SPDX-License-Identifier: Apache-2.0
// ExecSync: one exec session whose output comes straight from its pipes to the daemon, bounded in
// time and size. Blocks its caller; any thread but the loop's.
#pragma once

#include <chrono>

#include "base/result.h"
#include "os/dir_fd.h"
#include "runtime/monitor_client.h"
#include "runtime/runtime.h"

namespace berth::runtime {

// After the process has ended its pipes may stay open in a process that it left behind: not waited
// for longer.
inline constexpr std::chrono::milliseconds kExecDrain{500};

// `start` limits the OCI runtime's call, whatever `timeout` the process itself has.
Result<ExecOutput> RunExecSync(MonitorClient& client, const os::DirFd& pod,
                               const ExecRequest& request, std::chrono::nanoseconds timeout,
                               size_t limit, std::chrono::milliseconds start);

}  // namespace berth::runtime
