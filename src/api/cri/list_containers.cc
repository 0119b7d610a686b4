// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(ListContainers) {
  (void)call;
  pod::ContainerFilter filter;
  filter.id = request.filter().id();
  filter.sandbox_id = request.filter().pod_sandbox_id();
  if (request.filter().has_state()) {
    filter.state = static_cast<pod::ContainerState>(request.filter().state().state());
  }
  const auto& labels = request.filter().label_selector();
  filter.labels = {labels.begin(), labels.end()};
  for (const auto& container : services.engine.ListContainers(filter)) {
    ToProto(container, response->add_containers());
  }
  return Ok();
}

}  // namespace berth::api
