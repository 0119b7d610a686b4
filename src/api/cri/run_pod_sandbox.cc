// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(RunPodSandbox) {
  if (!request.has_config() || !request.config().has_metadata()) {
    return Error(Code::kInvalidArgument, "run pod sandbox: config and its metadata are required");
  }
  pod::SandboxConfig config = TRY(FromProto(request.config()), "run pod sandbox");
  response->set_pod_sandbox_id(
      TRY(services.engine.RunPodSandbox(call, config, request.runtime_handler())));
  return Ok();
}

}  // namespace berth::api
