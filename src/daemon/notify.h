// SPDX-License-Identifier: Apache-2.0
// Tells systemd how far the daemon is (sd_notify(3): a datagram to $NOTIFY_SOCKET). Main thread
// only. Not started by systemd: does nothing.
#pragma once

#include <string_view>

#include "base/result.h"

namespace berth::daemon {

// "READY=1", "STOPPING=1". Unavailable when systemd's socket cannot be reached.
Result<> Notify(std::string_view state);

}  // namespace berth::daemon
