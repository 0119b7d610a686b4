// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"
#include "base/strings.h"

namespace berth::api {

// A command's exit code is an answer, not an error; only the time-out is.
BERTH_CRI_HANDLER(ExecSync) {
  if (request.timeout() < 0) {
    return Error(Code::kInvalidArgument,
                 StrCat("exec: timeout ", request.timeout(), " is negative"));
  }
  std::vector<std::string> command(request.cmd().begin(), request.cmd().end());
  runtime::ExecOutput output = TRY(services.engine.ExecSync(
      call, request.container_id(), command, std::chrono::seconds(request.timeout())));
  response->set_exit_code(output.exit_code);
  response->set_stdout(std::move(output.out));
  response->set_stderr(std::move(output.err));
  return Ok();
}

}  // namespace berth::api
