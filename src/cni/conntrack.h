// SPDX-License-Identifier: Apache-2.0
// Forgetting connections: a UDP flow to a host port that was there before the mapping, or after it has gone, would keep its
// old translation for as long as packets come. A free function on the calling thread's network namespace.
#pragma once

#include <cstdint>
#include <set>

#include "base/result.h"

namespace berth::cni {

// Removes the entries whose original packets were UDP to one of `ports`. Success when the kernel has no connection tracking.
Result<> ForgetUdpTo(const std::set<uint16_t>& ports, bool v6);

}  // namespace berth::cni
