// SPDX-License-Identifier: Apache-2.0
// Reads what HostFacts holds from procfs and sysfs, cgroup mode excepted. Internal to LinuxHost.
// Any thread.
#pragma once

#include "base/result.h"
#include "os/cgroup.h"
#include "runtime/host.h"

namespace berth::runtime {

Result<HostFacts> ReadHostFacts();
// linux_host_cgroups.cc: which limits this kernel's control groups have.
Result<> ReadCgroupFacts(const os::Cgroups& cgroups, HostFacts* facts);

}  // namespace berth::runtime
