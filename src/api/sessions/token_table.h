// SPDX-License-Identifier: Apache-2.0
// Tokens that stand for sessions between the CRI call and the client's coming. Owned by StreamServer; any thread.
//
//   Issue --> out --Redeem(its own kind)--> gone, with its session
//              |---Redeem(another kind)---> gone, without
//              +---a minute over----------> gone
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <string>
#include <string_view>

#include "api/sessions/session.h"
#include "base/clock.h"
#include "base/guarded.h"

namespace berth::sessions {

class TokenTable {
 public:
  static constexpr size_t kMost = 1000;
  static constexpr std::chrono::minutes kLife{1};

  explicit TokenTable(const Clock& clock) : clock_(clock) {}

  // 128 random bits as base64url (22 characters). ResourceExhausted when kMost are out.
  Result<std::string> Issue(Session session);
  // NotFound for a token that was never issued, was used, is too old or of another kind.
  Result<Session> Redeem(stream::Kind kind, const std::string& token);
  size_t size() { return state_.Lock()->out.size(); }

 private:
  using Ends = std::list<std::pair<std::chrono::nanoseconds, std::string>>;
  struct Entry {
    Session session;
    Ends::iterator end;
  };
  struct State {
    std::map<std::string, Entry> out;
    Ends ends;  // the next one first
  };
  void Expire(State& state) const;

  const Clock& clock_;
  Guarded<State> state_;
};

// RFC 4648 section 5, without padding.
std::string Base64Url(std::string_view bytes);

}  // namespace berth::sessions
