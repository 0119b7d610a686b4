// SPDX-License-Identifier: Apache-2.0
// The Stream... calls: the answer of a List... call in pieces. Both have the items as field 1 and nothing
// else, so an encoded list is cut between its items and never decoded. A stream deletes itself when the
// RPC is done and the handler has returned, whichever is later.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "api/cri/server_call.h"
#include "base/executor.h"
#include "pod/engine.h"

namespace berth::api {

// How many of the first bytes of an encoded list make the next message: as many items as fit into
// `limit`, one at least. Internal when the bytes are not a list.
Result<size_t> NextPiece(std::string_view encoded, size_t limit);

class ListStream final : public Reactor {
 public:
  static constexpr size_t kPiece = 256 << 10;
  // From the encoded request to the encoded list.
  using Handler =
      std::function<Result<std::string>(const pod::Call&, const grpc::ByteBuffer& request)>;

  static void Start(ServerCall& call, Executor& executor, const char* rpc, const Clock& clock,
                    Handler handler);
  void OnCancel() override { stop_.request_stop(); }
  void OnWriteDone(bool ok) override;
  void OnDone() override { Unref(); }

 private:
  ListStream(ServerCall& call, const char* rpc, const Clock& clock, Handler handler);
  void Run();
  void WriteNext();
  void Unref() {
    if (references_.fetch_sub(1) == 1) delete this;
  }

  const char* rpc_;
  std::stop_source stop_;
  pod::Call call_;
  Handler handler_;
  std::string encoded_;
  std::string_view left_;
  std::atomic<int> references_{2};  // the RPC's and the handler's
};

}  // namespace berth::api
