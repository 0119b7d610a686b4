// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

// The pod CIDR matters only to a runtime that writes CNI configuration from a template; Berth
// leaves that to the network's own installer, as CRI-O does. Success, so that the kubelet does not
// report an error at each change.
BERTH_CRI_HANDLER(UpdateRuntimeConfig) {
  (void)services, (void)call, (void)request, (void)response;
  return Ok();
}

}  // namespace berth::api
