// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

// The pod CIDR matters only where CNI configuration is made from a template (network.conf_template); elsewhere it is
// the network's own installer's. Success then, so that the kubelet does not report an error at each change.
BERTH_CRI_HANDLER(UpdateRuntimeConfig) {
  (void)call, (void)response;
  const std::string& cidr = request.runtime_config().network_config().pod_cidr();
  if (!services.set_pod_cidr) return Ok();
  return services.set_pod_cidr(cidr);
}

}  // namespace berth::api
