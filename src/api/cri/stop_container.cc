// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/cri/handlers.h"

namespace berth::api {

// Idempotent: an id that is not there is success.
BERTH_CRI_HANDLER(StopContainer) {
  (void)response;
  // A negative grace is no grace; a century is longer than any pod lives and keeps the arithmetic
  // in range.
  constexpr int64_t kCentury = int64_t{100} * 366 * 24 * 3600;
  int64_t grace = std::clamp<int64_t>(request.timeout(), 0, kCentury);
  return services.engine.StopContainer(call, request.container_id(), std::chrono::seconds(grace));
}

}  // namespace berth::api
