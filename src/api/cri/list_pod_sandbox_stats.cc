// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert_stats.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(ListPodSandboxStats) {
  (void)call;
  for (const auto& stats : services.engine.ListPodSandboxStats(FromProto(request.filter())))
    ToProto(stats, response->add_stats());
  return Ok();
}

}  // namespace berth::api
