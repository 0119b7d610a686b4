// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(RemoveImage) {
  (void)call, (void)response;
  if (request.image().image().empty()) {
    return Error(Code::kInvalidArgument, "remove image: no image is named");
  }
  return services.images.Remove(request.image().image());
}

}  // namespace berth::api
