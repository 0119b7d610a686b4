// SPDX-License-Identifier: Apache-2.0
// Reads what HostFacts holds from procfs and sysfs, cgroup mode excepted. Internal to LinuxHost.
// Any thread.
#pragma once

#include "base/result.h"
#include "runtime/host.h"

namespace berth::runtime {

Result<HostFacts> ReadHostFacts();

}  // namespace berth::runtime
