// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(ListPodSandbox) {
  (void)call;
  pod::SandboxFilter filter;
  filter.id = request.filter().id();
  if (request.filter().has_state()) {
    filter.state = static_cast<pod::SandboxState>(request.filter().state().state());
  }
  const auto& labels = request.filter().label_selector();
  filter.labels = {labels.begin(), labels.end()};
  for (const auto& sandbox : services.engine.ListPodSandbox(filter)) {
    ToProto(sandbox, response->add_items());
  }
  return Ok();
}

}  // namespace berth::api
