// SPDX-License-Identifier: Apache-2.0
// Ending processes that the monitor has no pidfd of: a container's cgroup, an exec's session and
// descendants. Runs in a forked helper (call.h), since it may take a while. Every signal goes
// through a pidfd.
#pragma once

#include <map>
#include <string>

#include "base/result.h"

namespace berth::monitor {

// The group to kill for a container whose init is in `groups`; empty when there is none of its own:
// the root, or one that the monitor (`own`) is in or below.
std::string KillableGroup(const std::map<std::string, std::string>& groups,
                          const std::map<std::string, std::string>& own);
// /proc/<pid>/cgroup; `pid` 0 is the caller.
Result<std::map<std::string, std::string>> ReadGroups(int pid);

// SIGKILL to everything in the group and below.
Result<> KillGroup(const std::string& path);

// SIGKILL to `pid`, to everything in the session that it leads, and to the children of all these,
// until none is left.
Result<> KillTree(int pid);

}  // namespace berth::monitor
