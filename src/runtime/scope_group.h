// SPDX-License-Identifier: Apache-2.0
// Where a container's processes and limits are when its group is a systemd scope. Internal to LinuxHost and
// LinuxStats. Any thread.
#pragma once

#include <string>

#include "base/result.h"
#include "os/cgroup.h"

namespace berth::runtime {

// `path` itself, or the group kScopeSubgroup (host.h) inside it when `path` is a scope that has one.
Result<std::string> GroupInScope(const os::Cgroups& cgroups, const std::string& path);

}  // namespace berth::runtime
