// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert_stats.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(ContainerStats) {
  (void)call;
  ToProto(TRY(services.engine.GetContainerStats(request.container_id())),
          response->mutable_stats());
  return Ok();
}

}  // namespace berth::api
