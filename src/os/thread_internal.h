// SPDX-License-Identifier: Apache-2.0
// Work on a thread of its own, for what changes the thread: its namespaces or its working
// directory. Private to src/os.
#pragma once

#include <functional>

#include "base/result.h"

namespace berth::os::internal {

// Runs `work` on a new thread and waits for it. The thread starts in the caller's namespaces.
Result<> RunOnThread(const std::function<Result<>()>& work);

}  // namespace berth::os::internal
