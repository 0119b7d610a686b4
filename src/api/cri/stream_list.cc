// SPDX-License-Identifier: Apache-2.0
#include "api/cri/stream_list.h"

#include <google/protobuf/io/coded_stream.h>

#include "api/cri/dispatch.h"
#include "base/strings.h"

namespace berth::api {

Result<size_t> NextPiece(std::string_view encoded, size_t limit) {
  constexpr uint32_t kItem = 1 << 3 | 2;  // field 1, length-delimited
  const auto* bytes = reinterpret_cast<const uint8_t*>(encoded.data());
  google::protobuf::io::CodedInputStream in(bytes, static_cast<int>(encoded.size()));
  size_t taken = 0;
  while (taken < encoded.size()) {
    uint32_t size = 0;
    bool item = in.ReadTag() == kItem && in.ReadVarint32(&size) && in.Skip(static_cast<int>(size));
    if (!item) return Error(Code::kInternal, "the encoded list is no list");
    auto end = static_cast<size_t>(in.CurrentPosition());
    if (taken > 0 && end > limit) break;
    taken = end;
  }
  return taken;
}

void ListStream::Start(ServerCall& call, Executor& executor, const char* rpc, const Clock& clock,
                       Handler handler) {
  auto* self = new ListStream(call, rpc, clock, std::move(handler));
  if (Result<> accepted = executor.Submit([self] { self->Run(); }); !accepted) {
    call.Finish(ToStatus(accepted.error()));
    self->Unref();
  }
}

ListStream::ListStream(ServerCall& call, const char* rpc, const Clock& clock, Handler handler)
    : Reactor(call), rpc_(rpc), handler_(std::move(handler)) {
  call_.deadline = DeadlineOf(call.context(), clock);
  call_.cancelled = stop_.get_token();
}

void ListStream::Run() {
  auto began = std::chrono::steady_clock::now();
  Result<std::string> outcome = [&]() -> Result<std::string> {
    try {
      return handler_(call_, call().request());
    } catch (const std::exception& e) {
      return Error(Code::kInternal, StrCat(rpc_, ": unexpected: ", e.what()));
    }
  }();
  const auto took = std::chrono::steady_clock::now() - began;
  if (outcome) {
    LogOutcome(rpc_, Ok(), took);
    encoded_ = std::move(*outcome);
    left_ = encoded_;
    WriteNext();
  } else {
    Result<> failed(std::move(outcome.error()));
    LogOutcome(rpc_, failed, took);
    call().Finish(ToStatus(failed.error()));
  }
  Unref();
}

void ListStream::WriteNext() {
  if (left_.empty()) return call().Finish(grpc::Status::OK);
  Result<size_t> size = NextPiece(left_, kPiece);
  if (!size) return call().Finish(ToStatus(size.error()));
  grpc::Slice slice(left_.data(), *size);
  left_.remove_prefix(*size);
  call().StartWrite(grpc::ByteBuffer(&slice, 1));
}

void ListStream::OnWriteDone(bool ok) {
  if (ok) return WriteNext();
  call().Finish({grpc::StatusCode::CANCELLED, "the client has gone"});
}

}  // namespace berth::api
