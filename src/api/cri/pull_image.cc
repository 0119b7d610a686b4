// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/dispatch.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(PullImage) {
  if (request.image().image().empty()) {
    return Error(Code::kInvalidArgument, "pull image: no image is named");
  }
  image::PullRequest pull;
  pull.reference = request.image().image();
  pull.runtime_handler = request.image().runtime_handler();
  if (request.has_auth()) pull.credentials = FromProto(request.auth());
  pull.cancel = call.cancelled;
  // The image's id, the same everywhere since CRI 1.36.
  Result<std::string> id = services.images.Pull(pull);
  if (!id) return KubeletWordFirst(std::move(id.error()));
  response->set_image_ref(*id);
  return Ok();
}

}  // namespace berth::api
