// SPDX-License-Identifier: Apache-2.0
// Whether an OCI runtime's words say that the container's command is not there or cannot be executed: the one
// error of `create` that is the container's own and not the node's. Pure; any thread.
#pragma once

#include <string_view>

namespace berth::oci {

// crun 1.8 to 1.24, runc 1.0 to 1.4, youki and runsc. Other words mean no, and leave the error where it came up.
bool IsCommandError(std::string_view message);

}  // namespace berth::oci
