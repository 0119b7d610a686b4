// SPDX-License-Identifier: Apache-2.0
// Records and configs for tests: small ones that are valid, and full ones in which every member has
// a value. Values; any thread.
#pragma once

#include <string>

#include "pod/records.h"
#include "pod/types.h"

namespace berth::pod {

// 64 hexadecimal characters that begin with `start`.
std::string TestId(const std::string& start);

SandboxConfig MinimalSandboxConfig(const std::string& name = "web");
ContainerConfig MinimalContainerConfig(const std::string& name = "app");

SandboxRecord FullSandboxRecord();
ContainerRecord FullContainerRecord();

}  // namespace berth::pod
