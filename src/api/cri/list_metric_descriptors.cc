// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert_stats.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(ListMetricDescriptors) {
  (void)services, (void)call, (void)request;
  for (const auto& descriptor : pod::MetricDescriptors())
    ToProto(descriptor, response->add_descriptors());
  return Ok();
}

}  // namespace berth::api
