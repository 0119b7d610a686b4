// SPDX-License-Identifier: Apache-2.0
// Forgetting connections: a UDP flow to a host port that was there before the mapping, or after it has gone, would keep its
// old translation for as long as packets come. A free function; `socket` is of
// NETLINK_NETFILTER.
#pragma once

#include <cstdint>
#include <set>

#include "base/result.h"
#include "os/netlink.h"

namespace berth::cni {

// Removes the entries whose original packets were UDP to one of `ports`. Success when the kernel has no connection tracking.
Result<> ForgetUdpTo(os::netlink::Socket& socket, const std::set<uint16_t>& ports);

}  // namespace berth::cni
