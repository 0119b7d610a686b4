// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

// Static for the kubelet's life.
BERTH_CRI_HANDLER(RuntimeConfig) {
  (void)call, (void)request;
  response->mutable_linux()->set_cgroup_driver(services.systemd_cgroup ? v1::SYSTEMD
                                                                       : v1::CGROUPFS);
  return Ok();
}

}  // namespace berth::api
