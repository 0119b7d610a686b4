// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/dispatch.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(CreateContainer) {
  if (!request.has_config() || !request.config().has_metadata()) {
    return Error(Code::kInvalidArgument, "create container: config and its metadata are required");
  }
  pod::ContainerConfig config = TRY(FromProto(request.config()), "create container");
  Result<std::string> id = services.engine.CreateContainer(call, request.pod_sandbox_id(), config);
  if (!id) return KubeletWordFirst(std::move(id.error()));
  response->set_container_id(*id);
  return Ok();
}

}  // namespace berth::api
