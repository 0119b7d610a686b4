// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(PortForward) {
  (void)call;
  pod::PortForwardOptions options;
  options.sandbox_id = request.pod_sandbox_id();
  options.ports.assign(request.port().begin(), request.port().end());
  options = TRY(services.engine.CheckPortForward(std::move(options)));
  response->set_url(TRY(services.sessions.Url(std::move(options)), "port-forward"));
  return Ok();
}

}  // namespace berth::api
