// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

// Idempotent: an id that is not there is success.
BERTH_CRI_HANDLER(RemoveContainer) {
  (void)response;
  return services.engine.RemoveContainer(call, request.container_id());
}

}  // namespace berth::api
