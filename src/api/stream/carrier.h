// SPDX-License-Identifier: Apache-2.0
// Makes the session and the channels that a request asked for. Any thread.
#pragma once

#include <memory>

#include "api/stream/session.h"
#include "api/stream/upgrade.h"

namespace berth::stream {

// InvalidArgument: port-forward over plain WebSocket without a port.
Result<std::unique_ptr<Session>> MakeSession(SessionHost& host, const Upgrade& upgrade,
                                             const Redeemed& redeemed, const Timeouts& timeouts);
Result<std::unique_ptr<Channels>> MakeChannels(Output& output, ChannelUser& user,
                                               const Upgrade& upgrade, const Redeemed& redeemed);

}  // namespace berth::stream
