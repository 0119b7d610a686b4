// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

// Only checked here; it is started when the client's streams are there.
BERTH_CRI_HANDLER(Exec) {
  (void)call;
  pod::ExecOptions options;
  options.container_id = request.container_id();
  options.command.assign(request.cmd().begin(), request.cmd().end());
  options.tty = request.tty();
  options.std_in = request.stdin();
  options.std_out = request.stdout();
  options.std_err = request.stderr();
  options = TRY(services.engine.CheckExec(std::move(options)));
  response->set_url(TRY(services.sessions.Url(std::move(options)), "exec"));
  return Ok();
}

}  // namespace berth::api
