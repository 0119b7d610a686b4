// SPDX-License-Identifier: Apache-2.0
// Where berthd's log lines go: spdlog, to stderr, with time and severity (systemd keeps them in the
// journal). Owned by main for the life of the program; any thread.
#pragma once

#include <memory>
#include <string_view>

#include "base/log.h"
#include "base/result.h"

namespace berth::daemon {

// `level`: debug, info, warning or error.
Result<std::unique_ptr<LogSink>> MakeLogSink(std::string_view level);

}  // namespace berth::daemon
