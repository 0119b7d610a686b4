// SPDX-License-Identifier: Apache-2.0
#include "api/cri/server_call.h"

#include "base/strings.h"

namespace berth::api {

void ServerCall::Want(const Home& home) {
  auto* self = new ServerCall(home);
  // gRPC gives this tag back only of a call that has begun.
  self->context_.AsyncNotifyWhenDone(&self->over_);
  home.service->RequestCall(&self->context_, &self->stream_, home.queue, home.queue,
                            &self->wanted_);
}

void ServerCall::Wanted(bool ok) {
  if (!ok) return Release();  // the server ends
  uses_.fetch_add(2);         // Over, Finished
  Want(home_);
  uses_.fetch_add(1);
  stream_.Read(&request_, &read_);
  Release();
}

void ServerCall::Read(bool ok) {
  const CallStarter* starter = (*home_.find)(context_.method());
  if (cancelled_) {
    Finish({grpc::StatusCode::CANCELLED, "the client has gone"});
  } else if (starter == nullptr) {
    Finish({grpc::StatusCode::UNIMPLEMENTED, StrCat(context_.method(), ": no such call")});
  } else if (!ok) {
    Finish({grpc::StatusCode::INVALID_ARGUMENT, "a call without a message"});
  } else {
    (*starter)(*this);
  }
  Release();
}

void ServerCall::Over(bool) {
  cancelled_ = context_.IsCancelled();
  if (cancelled_ && reactor_ != nullptr) reactor_->OnCancel();
  Release();
}

void ServerCall::StartSendInitialMetadata() {
  uses_.fetch_add(1);
  stream_.SendInitialMetadata(&metadata_sent_);
}

void ServerCall::MetadataSent(bool) { Release(); }

void ServerCall::StartWrite(const grpc::ByteBuffer& message) {
  uses_.fetch_add(1);
  stream_.Write(message, &written_);
}

void ServerCall::Written(bool ok) {
  reactor_->OnWriteDone(ok);
  Release();
}

void ServerCall::Finish(const grpc::Status& status) { stream_.Finish(status, &finished_); }

void ServerCall::FinishWith(const grpc::ByteBuffer& message) {
  stream_.WriteAndFinish(message, grpc::WriteOptions(), grpc::Status::OK, &finished_);
}

void ServerCall::Finished(bool) { Release(); }

void ServerCall::Release() {
  if (uses_.fetch_sub(1) != 1) return;
  if (reactor_ != nullptr) reactor_->OnDone();
  delete this;
}

}  // namespace berth::api
