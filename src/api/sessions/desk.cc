// SPDX-License-Identifier: Apache-2.0
#include "api/sessions/desk.h"

#include "base/strings.h"

namespace berth::sessions {

namespace {

stream::Redeemed Describe(uint64_t number, const Session& session) {
  stream::Redeemed answer;
  answer.session = number;
  auto streams = [&](const auto& options) {
    answer.std_in = options.std_in;
    answer.std_out = options.std_out;
    answer.std_err = options.std_err;
    answer.terminal = options.tty;
  };
  if (const auto* exec = std::get_if<pod::ExecOptions>(&session)) streams(*exec);
  if (const auto* attach = std::get_if<pod::AttachOptions>(&session)) streams(*attach);
  if (const auto* forward = std::get_if<pod::PortForwardOptions>(&session))
    answer.ports.assign(forward->ports.begin(), forward->ports.end());
  return answer;
}

Desk::Answer Begun(uint64_t id, runtime::SessionStreams streams) {
  stream::Begun begun;
  Desk::Answer answer;
  for (auto [has, fd] : {std::pair{&begun.has_stdin, &streams.std_in},
                         std::pair{&begun.has_stdout, &streams.std_out},
                         std::pair{&begun.has_stderr, &streams.std_err},
                         std::pair{&begun.has_terminal, &streams.terminal},
                         std::pair{&begun.has_result, &streams.result}}) {
    *has = fd->valid();
    if (*has) answer.fds.push_back(std::move(*fd));
  }
  answer.packet = stream::OkReply(id, begun);
  return answer;
}

}  // namespace

Result<Desk::Answer> Desk::Handle(std::string_view packet) {
  wire::Reader reader(packet);
  const stream::Header header = TRY(stream::DecodeHeader(reader));
  if (header.id == 0) return Error(Code::kInvalidArgument, "request without id");
  auto handle = [&]() -> Result<Answer> {
    switch (header.type) {
      case stream::Type::kRedeem:
        return Redeem(header.id, reader);
      case stream::Type::kBegin:
        return Begin(header.id, reader);
      case stream::Type::kAbandon:
        return Abandon(header.id, reader);
      case stream::Type::kNodeInfo:
        return Document(header.id, reader);
      default:
        return Error(Code::kInvalidArgument,
                     StrCat("request type ", static_cast<uint32_t>(header.type)));
    }
  };
  return handle();
}

Result<Desk::Answer> Desk::Redeem(uint64_t id, wire::Reader& reader) {
  stream::Redeem request;
  TRY(stream::Decode(reader, request));
  Result<Session> session = tokens_.Redeem(request.kind, request.token);
  if (!session) return Answer{stream::ErrorReply(id, session.error()), {}};
  auto state = state_.Lock();
  if (state->redeemed.size() >= kMostRedeemed)
    return Answer{stream::ErrorReply(
                      id, Error(Code::kResourceExhausted, "too many sessions are being opened")),
                  {}};
  const uint64_t number = ++state->last;
  Answer answer{stream::OkReply(id, Describe(number, *session)), {}};
  state->redeemed.emplace(number, std::move(*session));
  return answer;
}

Result<Session> Desk::Take(uint64_t number) {
  auto found = state_.Lock()->redeemed.extract(number);
  if (found.empty()) return Error(Code::kNotFound, StrCat("session ", number, " is not open"));
  return std::move(found.mapped());
}

Result<Desk::Answer> Desk::Begin(uint64_t id, wire::Reader& reader) {
  stream::SessionCall request;
  TRY(stream::Decode(reader, request));
  Result<Session> session = Take(request.session);
  if (!session) return Answer{stream::ErrorReply(id, session.error()), {}};
  Result<Answer> answer = Start(id, *session);
  if (!answer) return Answer{stream::ErrorReply(id, answer.error()), {}};
  return answer;
}

Result<Desk::Answer> Desk::Start(uint64_t id, const Session& session) {
  if (const auto* exec = std::get_if<pod::ExecOptions>(&session))
    return Begun(id, TRY(engine_.StartExec(*exec)));
  if (const auto* attach = std::get_if<pod::AttachOptions>(&session))
    return Begun(id, TRY(engine_.StartAttach(*attach)));
  Answer answer;
  answer.fds.push_back(TRY(engine_.StartPortForward(std::get<pod::PortForwardOptions>(session))));
  stream::Begun begun;
  begun.has_dialer = true;
  answer.packet = stream::OkReply(id, begun);
  return answer;
}

Result<Desk::Answer> Desk::Document(uint64_t id, wire::Reader& reader) {
  stream::NodeInfo request;
  TRY(stream::Decode(reader, request));
  Result<std::string> json = NodeView(engine_, view_, request.path);
  if (json && json->size() > stream::kMaxDocument)
    json = Error(Code::kResourceExhausted, StrCat(request.path, ": too long to be told"));
  return Answer{json ? stream::OkReply(id, stream::Document{std::move(*json)})
                     : stream::ErrorReply(id, json.error()),
                {}};
}

Result<Desk::Answer> Desk::Abandon(uint64_t id, wire::Reader& reader) {
  stream::SessionCall request;
  TRY(stream::Decode(reader, request));
  Result<Session> session = Take(request.session);
  return Answer{session ? stream::OkReply(id) : stream::ErrorReply(id, session.error()), {}};
}

}  // namespace berth::sessions
