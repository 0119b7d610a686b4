// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(Version) {
  (void)services, (void)call, (void)request;
  // The first is the kubelet's own runtime API version, a constant since 2016.
  response->set_version("0.1.0");
  response->set_runtime_name("berth");
  response->set_runtime_version(BERTH_VERSION);
  response->set_runtime_api_version("v1");
  return Ok();
}

Result<> VersionV1Alpha2(Services& services, const pod::Call& call,
                         const v1::VersionRequest& request, v1::VersionResponse* response) {
  TRY(Version(services, call, request, response));
  response->set_runtime_api_version("v1alpha2");
  return Ok();
}

}  // namespace berth::api
