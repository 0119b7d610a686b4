// SPDX-License-Identifier: Apache-2.0
#include "api/sessions/token_table.h"

#include <sys/random.h>

#include "base/strings.h"

namespace berth::sessions {

namespace {

Result<std::string> NewToken() {
  std::string bytes(16, '\0');
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return ErrnoError("random bytes");
  return Base64Url(bytes);
}

}  // namespace

std::string Base64Url(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    for (count += 8; count >= 6;) {
      count -= 6;
      out += kDigits[(bits >> count) & 63];
    }
  }
  if (count > 0) out += kDigits[(bits << (6 - count)) & 63];
  return out;
}

void TokenTable::Expire(State& state) const {
  const std::chrono::nanoseconds now = clock_.Monotonic();
  while (!state.ends.empty() && state.ends.front().first <= now) {
    state.out.erase(state.ends.front().second);
    state.ends.pop_front();
  }
}

Result<std::string> TokenTable::Issue(Session session) {
  std::string token = TRY(NewToken(), "token");
  auto state = state_.Lock();
  Expire(*state);
  if (state->out.size() >= kMost)
    return Error(Code::kResourceExhausted,
                 StrCat("too many streaming requests wait for their clients: ", state->out.size()));
  state->ends.emplace_back(clock_.Monotonic() + kLife, token);
  state->out.emplace(token, Entry{std::move(session), std::prev(state->ends.end())});
  return token;
}

Result<Session> TokenTable::Redeem(stream::Kind kind, const std::string& token) {
  auto state = state_.Lock();
  Expire(*state);
  auto found = state->out.extract(token);
  if (!found.empty()) state->ends.erase(found.mapped().end);
  if (found.empty() || KindOf(found.mapped().session) != kind)
    return Error(Code::kNotFound, "the token is not known, was used, or is older than a minute");
  return std::move(found.mapped().session);
}

}  // namespace berth::sessions
