// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"
#include "base/strings.h"

namespace berth::api {

// An image that is not there is an answer without an image, not an error.
BERTH_CRI_HANDLER(ImageStatus) {
  (void)call;
  if (request.image().image().empty()) {
    return Error(Code::kInvalidArgument, "image status: no image is named");
  }
  std::optional<image::FoundImage> found = TRY(services.images.Find(request.image().image()));
  if (!found) return Ok();
  ToProto(found->info, response->mutable_image());
  if (request.verbose()) {
    (*response->mutable_info())["info"] = StrCat("{\"imageSpec\":", found->config_json, "}");
  }
  return Ok();
}

}  // namespace berth::api
