// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "api/cri/handlers.h"
#include "base/strings.h"

namespace berth::api {

namespace {
// The kubelet tells a registry that is down from an image that is wrong by how the message begins
// (k8s.io/cri-api pkg/errors), so that word goes before the context that we put around it.
Error KubeletWordFirst(Error error) {
  for (const std::string_view word : {"RegistryUnavailable: ", "SignatureValidationFailed: "}) {
    const size_t at = error.message().find(word);
    if (at == std::string::npos || at == 0) continue;
    std::string rest = error.message();
    rest.erase(at, word.size());
    return Error(error.code(), StrCat(word, rest));
  }
  return error;
}
}  // namespace

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
