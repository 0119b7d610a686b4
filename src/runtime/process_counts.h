// SPDX-License-Identifier: Apache-2.0
// Descriptors, sockets and limits of a set of processes, from proc(5). Internal to LinuxStats; any thread.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "os/dir_fd.h"
#include "runtime/stats.h"

namespace berth::runtime {

// `proc` is /proc or a fixture. As Stats::CountProcesses.
Result<ProcessCounts> CountProcesses(const os::DirFd& proc, const std::vector<int>& pids);

// The soft limit of "Max open files" in the text of /proc/<pid>/limits; no value: unlimited.
// InvalidArgument when there is no such line.
Result<std::optional<uint64_t>> ParseOpenFilesLimit(std::string_view limits);

}  // namespace berth::runtime
