// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

// `annotations` are for NRI plugins, of which there are none; nothing of them reaches an OCI runtime.
BERTH_CRI_HANDLER(UpdateContainerResources) {
  (void)response;
  return services.engine.UpdateContainerResources(call, request.container_id(),
                                                  FromProto(request.linux()));
}

}  // namespace berth::api
