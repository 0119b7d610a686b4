// SPDX-License-Identifier: Apache-2.0
// What a client of Exec, Attach or PortForward has asked for, and where it is sent. Plain values; any thread.
#pragma once

#include <string>
#include <variant>

#include "api/stream/protocol.h"
#include "base/result.h"
#include "pod/types.h"

namespace berth::sessions {

// Already checked by the engine. The alternatives are in the order of stream::Kind.
using Session = std::variant<pod::ExecOptions, pod::AttachOptions, pod::PortForwardOptions>;

inline stream::Kind KindOf(const Session& session) {
  return static_cast<stream::Kind>(session.index());
}

// What the CRI calls need. Implemented by StreamServer.
class Sessions {
 public:
  virtual ~Sessions() = default;
  // http(s)://host:port/{exec,attach,portforward}/<token>, good once and for a minute. Unavailable while nobody
  // listens, ResourceExhausted when too many tokens are out.
  virtual Result<std::string> Url(Session session) = 0;
  // OK while somebody listens; the error says why not.
  virtual Result<> Ready() = 0;
};

}  // namespace berth::sessions
