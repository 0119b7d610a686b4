// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(ListImages) {
  (void)call;
  const std::string& wanted = request.filter().image().image();
  if (!wanted.empty()) {
    std::optional<image::FoundImage> found = TRY(services.images.Find(wanted));
    if (found) ToProto(found->info, response->add_images());
    return Ok();
  }
  for (const auto& info : TRY(services.images.List())) ToProto(info, response->add_images());
  return Ok();
}

}  // namespace berth::api
