// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/cri/handlers.h"
#include "base/strings.h"

namespace berth::api {

namespace {
// The client refuses messages above 16 MiB, so both streams together must stay below; each has half for certain.
void FitMessage(runtime::ExecOutput& output) {
  constexpr size_t kBudget = (16U << 20) - 1024;
  size_t error_room = std::max(kBudget / 2, kBudget - std::min(kBudget, output.out.size()));
  if (output.err.size() > error_room) output.err.resize(error_room);
  size_t out_room = kBudget - output.err.size();
  if (output.out.size() > out_room) output.out.resize(out_room);
}
}  // namespace

// A command's exit code is an answer, not an error; only the time-out is.
BERTH_CRI_HANDLER(ExecSync) {
  if (request.timeout() < 0) {
    return Error(Code::kInvalidArgument,
                 StrCat("exec: timeout ", request.timeout(), " is negative"));
  }
  std::vector<std::string> command(request.cmd().begin(), request.cmd().end());
  runtime::ExecOutput output = TRY(services.engine.ExecSync(
      call, request.container_id(), command, std::chrono::seconds(request.timeout())));
  FitMessage(output);
  response->set_exit_code(output.exit_code);
  response->set_stdout(std::move(output.out));
  response->set_stderr(std::move(output.err));
  return Ok();
}

}  // namespace berth::api
