// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(ReopenContainerLog) {
  (void)response;
  return services.engine.ReopenContainerLog(call, request.container_id());
}

}  // namespace berth::api
