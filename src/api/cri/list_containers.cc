// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

void AppendListItem(const pod::ContainerStatus& status, std::string* out) {
  v1::ListContainersResponse one;
  ToProto(status, one.add_containers());
  one.AppendToString(out);
}

Result<std::string> ListContainers(Services& services, const pod::Call& call,
                                   const v1::ListContainersRequest& request) {
  (void)call;
  pod::ContainerFilter filter;
  filter.id = request.filter().id();
  filter.sandbox_id = request.filter().pod_sandbox_id();
  if (request.filter().has_state()) {
    filter.state = static_cast<pod::ContainerState>(request.filter().state().state());
  }
  const auto& labels = request.filter().label_selector();
  filter.labels = {labels.begin(), labels.end()};
  return services.engine.EncodedContainers(filter, &AppendListItem);
}

}  // namespace berth::api
