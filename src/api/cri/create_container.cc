// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(CreateContainer) {
  if (!request.has_config() || !request.config().has_metadata()) {
    return Error(Code::kInvalidArgument, "create container: config and its metadata are required");
  }
  pod::ContainerConfig config = TRY(FromProto(request.config()), "create container");
  response->set_container_id(
      TRY(services.engine.CreateContainer(call, request.pod_sandbox_id(), config)));
  return Ok();
}

}  // namespace berth::api
