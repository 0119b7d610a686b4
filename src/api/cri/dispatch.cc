// SPDX-License-Identifier: Apache-2.0
#include "api/cri/dispatch.h"

#include "base/log.h"
#include "base/strings.h"

namespace berth::api {

grpc::Status ToStatus(const Error& error) {
  // HTTP/2 trailers carry the text; gRPC peers limit them to 8 KiB in all.
  constexpr size_t kMessageLimit = 4096;
  std::string message = error.message();
  if (message.size() > kMessageLimit) message = message.substr(0, kMessageLimit) + "...";
  return {static_cast<grpc::StatusCode>(error.code()), ToValidUtf8(message)};
}

Error KubeletWordFirst(Error error) {
  for (const std::string_view word :
       {"RegistryUnavailable: ", "SignatureValidationFailed: ", "ImageVolumeMountFailed: "}) {
    const size_t at = error.message().find(word);
    if (at == std::string::npos || at == 0) continue;
    std::string rest = error.message();
    rest.erase(at, word.size());
    return Error(error.code(), StrCat(word, rest));
  }
  return error;
}

std::chrono::nanoseconds DeadlineOf(const grpc::ServerContext& context, const Clock& clock) {
  auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return {};
  auto left = deadline - std::chrono::system_clock::now();
  // An already passed deadline must stay one: zero would mean "none".
  return std::max<std::chrono::nanoseconds>(clock.Monotonic() + left, std::chrono::nanoseconds(1));
}

void LogOutcome(const char* rpc, const Result<>& outcome, std::chrono::nanoseconds took) {
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  if (outcome) {
    LogDebug(StrCat(rpc, ": ok in ", ms, " ms"));
  } else {
    LogWarn(StrCat(rpc, ": ", CodeName(outcome.error().code()), ": ", outcome.error().message(),
                   " (", ms, " ms)"));
  }
}

UnaryCall::UnaryCall(ServerCall& call, const char* rpc, const Clock& clock, Handler handler)
    : Reactor(call), rpc_(rpc), handler_(std::move(handler)) {
  call_.deadline = DeadlineOf(call.context(), clock);
  call_.cancelled = stop_.get_token();
}

void UnaryCall::Start(ServerCall& call, Executor& executor, const char* rpc, const Clock& clock,
                      Handler handler) {
  auto* self = new UnaryCall(call, rpc, clock, std::move(handler));
  if (Result<> accepted = executor.Submit([self] { self->Run(); }); !accepted) {
    call.Finish(ToStatus(accepted.error()));
    self->Unref();
  }
}

void UnaryCall::Run() {
  auto began = std::chrono::steady_clock::now();
  Result<grpc::ByteBuffer> outcome = [&]() -> Result<grpc::ByteBuffer> {
    // It has waited for a thread for longer than its client has for it: nothing was begun yet.
    if (call_.cancelled.stop_requested())
      return Error(Code::kCancelled, StrCat(rpc_, ": the client has gone"));
    try {
      return handler_(call_, call().request());
    } catch (const std::exception& e) {
      return Error(Code::kInternal, StrCat(rpc_, ": unexpected: ", e.what()));
    }
  }();
  const auto took = std::chrono::steady_clock::now() - began;
  if (outcome) {
    LogOutcome(rpc_, Ok(), took);
    call().FinishWith(*outcome);
  } else {
    const grpc::Status status = ToStatus(outcome.error());
    LogOutcome(rpc_, Result<>(std::move(outcome.error())), took);
    call().Finish(status);
  }
  Unref();
}

}  // namespace berth::api
