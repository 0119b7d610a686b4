// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(Attach) {
  (void)call;
  pod::AttachOptions options;
  options.container_id = request.container_id();
  options.tty = request.tty();
  options.std_in = request.stdin();
  options.std_out = request.stdout();
  options.std_err = request.stderr();
  options = TRY(services.engine.CheckAttach(std::move(options)));
  response->set_url(TRY(services.sessions.Url(std::move(options)), "attach"));
  return Ok();
}

}  // namespace berth::api
