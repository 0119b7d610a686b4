// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/cri/handlers.h"
#include "base/strings.h"

namespace berth::api {

// A command's exit code is an answer, not an error; only the time-out is.
BERTH_CRI_HANDLER(ExecSync) {
  if (request.timeout() < 0) {
    return Error(Code::kInvalidArgument,
                 StrCat("exec: timeout ", request.timeout(), " is negative"));
  }
  // What is longer than the clock can count is as good as for ever.
  constexpr int64_t kLongest = int64_t{365} * 24 * 3600;
  const std::chrono::seconds timeout(std::min(request.timeout(), kLongest));
  std::vector<std::string> command(request.cmd().begin(), request.cmd().end());
  runtime::ExecOutput output =
      TRY(services.engine.ExecSync(call, request.container_id(), command, timeout));
  response->set_exit_code(output.exit_code);
  response->set_stdout(std::move(output.out));
  response->set_stderr(std::move(output.err));
  return Ok();
}

}  // namespace berth::api
