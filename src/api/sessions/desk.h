// SPDX-License-Identifier: Apache-2.0
// Answers what one berth-stream asks (api/stream/protocol.h). Owned by StreamServer, one for each berth-stream; any
// thread. Begin blocks while the exec starts.
//
// The life of a session; from the last step on neither the desk nor berthd is needed:
//
//   CRI call         token table        berth-stream's requests       engine, monitor
//   checked  ------> token out -------> Redeem: redeemed here ------> Begin: streams made, one end at the
//                    (a minute)           |                           monitor, the other to berth-stream
//                                         +-> Abandon, or berth-stream ends: forgotten
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/sessions/node_view.h"
#include "api/sessions/token_table.h"
#include "base/guarded.h"
#include "os/fd.h"
#include "pod/engine.h"

namespace berth::sessions {

class Desk {
 public:
  // Redeemed sessions whose clients' streams are awaited.
  static constexpr size_t kMostRedeemed = 1000;
  struct Answer {
    std::string packet;
    std::vector<os::Fd> fds;  // for the receiver: closed here once sent
  };

  Desk(pod::Engine& engine, TokenTable& tokens, NodeViewOptions view = {})
      : engine_(engine), tokens_(tokens), view_(std::move(view)) {}

  // A request of berth-stream and its reply. InvalidArgument when it is none: then nothing of what it says can be
  // trusted.
  Result<Answer> Handle(std::string_view packet);

 private:
  Result<Answer> Redeem(uint64_t id, wire::Reader& reader);
  Result<Answer> Begin(uint64_t id, wire::Reader& reader);
  Result<Answer> Abandon(uint64_t id, wire::Reader& reader);
  Result<Answer> Document(uint64_t id, wire::Reader& reader);
  Result<Answer> Start(uint64_t id, const Session& session);
  Result<Session> Take(uint64_t number);

  struct State {
    uint64_t last = 0;
    std::map<uint64_t, Session> redeemed;
  };
  pod::Engine& engine_;
  TokenTable& tokens_;
  const NodeViewOptions view_;
  Guarded<State> state_;
};

}  // namespace berth::sessions
