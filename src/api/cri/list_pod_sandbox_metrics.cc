// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert_stats.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(ListPodSandboxMetrics) {
  (void)call, (void)request;
  for (const auto& metrics : services.engine.ListPodSandboxMetrics())
    ToProto(metrics, response->add_pod_metrics());
  return Ok();
}

}  // namespace berth::api
