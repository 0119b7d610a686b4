// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

// Idempotent: an id that is not there is success.
BERTH_CRI_HANDLER(StopPodSandbox) {
  (void)response;
  return services.engine.StopPodSandbox(call, request.pod_sandbox_id());
}

}  // namespace berth::api
