// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(PodSandboxStatus) {
  (void)call;
  const std::string& id = request.pod_sandbox_id();
  ToProto(TRY(services.engine.PodSandboxStatus(id)), response->mutable_status());
  if (request.verbose()) {
    for (auto& [key, json] : TRY(services.engine.PodSandboxInfo(id))) {
      (*response->mutable_info())[key] = json;
    }
  }
  return Ok();
}

}  // namespace berth::api
