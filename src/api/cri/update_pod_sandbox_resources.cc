// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(UpdatePodSandboxResources) {
  (void)call, (void)response;
  std::optional<pod::LinuxResources> overhead, resources;
  if (request.has_overhead()) overhead = FromProto(request.overhead());
  if (request.has_resources()) resources = FromProto(request.resources());
  return services.engine.UpdatePodSandboxResources(request.pod_sandbox_id(), overhead, resources);
}

}  // namespace berth::api
