// SPDX-License-Identifier: Apache-2.0
// CHECK of the bridge plugin. A free function; one thread.
#pragma once

#include "base/result.h"
#include "cni/request.h"

namespace berth::cni {

// Bridge, both ends of the veth, addresses and routes are as prevResult has them.
Result<> CheckBridge(const Request& request);

}  // namespace berth::cni
