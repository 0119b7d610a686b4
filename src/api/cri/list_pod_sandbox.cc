// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

void AppendListItem(const pod::SandboxStatus& status, std::string* out) {
  v1::ListPodSandboxResponse one;
  ToProto(status, one.add_items());
  one.AppendToString(out);
}

Result<std::string> ListPodSandbox(Services& services, const pod::Call& call,
                                   const v1::ListPodSandboxRequest& request) {
  (void)call;
  pod::SandboxFilter filter;
  filter.id = request.filter().id();
  if (request.filter().has_state()) {
    filter.state = static_cast<pod::SandboxState>(request.filter().state().state());
  }
  const auto& labels = request.filter().label_selector();
  filter.labels = {labels.begin(), labels.end()};
  return services.engine.EncodedPodSandboxes(filter, &AppendListItem);
}

}  // namespace berth::api
