// SPDX-License-Identifier: Apache-2.0
// Run (process.h), for one that must end with whatever it is for. Any thread.
#pragma once

#include <stop_token>

#include "os/process.h"

namespace berth::os {

// As Run; Cancelled as soon as `cancel` asks for it: then its process group is killed and reaped, as at
// the end of the time.
Result<RunOutput> Run(const RunOptions& options, const std::stop_token& cancel);

}  // namespace berth::os
