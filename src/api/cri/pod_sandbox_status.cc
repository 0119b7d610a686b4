// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(PodSandboxStatus) {
  (void)call;
  const std::string& id = request.pod_sandbox_id();
  pod::PodSnapshot snapshot = TRY(services.engine.Snapshot(id));
  ToProto(snapshot.sandbox, response->mutable_status());
  for (const auto& container : snapshot.containers) {
    ToProto(container, response->add_containers_statuses());
  }
  response->set_timestamp(snapshot.taken_at);
  if (request.verbose()) {
    for (auto& [key, json] : TRY(services.engine.PodSandboxInfo(id))) {
      (*response->mutable_info())[key] = json;
    }
  }
  return Ok();
}

}  // namespace berth::api
