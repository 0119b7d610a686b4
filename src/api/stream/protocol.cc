// SPDX-License-Identifier: Apache-2.0
#include "api/stream/protocol.h"

#include "base/strings.h"

namespace berth::stream {

namespace {

constexpr size_t kMaxText = 4096;
constexpr size_t kMaxToken = 64;

void Begin(wire::Writer& w, Type type, uint64_t id) {
  w.U32(static_cast<uint32_t>(type));
  w.U64(id);
}

}  // namespace

void Encode(wire::Writer& w, const Ready& m) {
  w.U32(m.port);
  w.Bool(m.tls);
}
void Encode(wire::Writer& w, const Redeem& m) {
  w.U8(static_cast<uint8_t>(m.kind));
  w.Text(m.token);
}
void Encode(wire::Writer& w, const Redeemed& m) {
  w.U64(m.session);
  for (bool flag : {m.std_in, m.std_out, m.std_err, m.terminal}) w.Bool(flag);
  w.U32(static_cast<uint32_t>(m.ports.size()));
  for (uint32_t port : m.ports) w.U32(port);
}
void Encode(wire::Writer& w, const SessionCall& m) { w.U64(m.session); }
void Encode(wire::Writer& w, const Begun& m) {
  for (bool flag :
       {m.has_stdin, m.has_stdout, m.has_stderr, m.has_terminal, m.has_result, m.has_dialer})
    w.Bool(flag);
}

void Encode(wire::Writer& w, const NodeInfo& m) { w.Text(m.path); }
void Encode(wire::Writer& w, const Document& m) { w.Text(m.json); }

Result<> Decode(wire::Reader& r, NodeInfo& m) {
  m.path = TRY(r.Text(kMaxText), "node info");
  return r.End();
}
Result<> Decode(wire::Reader& r, Document& m) {
  m.json = TRY(r.Text(kMaxDocument), "document");
  return r.End();
}
Result<> Decode(wire::Reader& r, Ready& m) {
  m.port = TRY(r.U32(), "ready");
  m.tls = TRY(r.Bool(), "ready");
  if (m.port == 0 || m.port > UINT16_MAX)
    return Error(Code::kInvalidArgument, StrCat("ready: port ", m.port));
  return r.End();
}
Result<> Decode(wire::Reader& r, Redeem& m) {
  const uint8_t kind = TRY(r.U8(), "redeem");
  if (kind > static_cast<uint8_t>(Kind::kPortForward))
    return Error(Code::kInvalidArgument, StrCat("redeem: kind ", kind));
  m.kind = static_cast<Kind>(kind);
  m.token = TRY(r.Text(kMaxToken), "redeem");
  return r.End();
}
Result<> Decode(wire::Reader& r, Redeemed& m) {
  m.session = TRY(r.U64(), "redeemed");
  for (bool* flag : {&m.std_in, &m.std_out, &m.std_err, &m.terminal})
    *flag = TRY(r.Bool(), "redeemed");
  const uint32_t count = TRY(r.U32(), "redeemed");
  if (count > kMaxPorts)
    return Error(Code::kInvalidArgument, StrCat("redeemed: ", count, " ports"));
  m.ports.clear();
  for (uint32_t i = 0; i < count; ++i) m.ports.push_back(TRY(r.U32(), "redeemed"));
  for (uint32_t port : m.ports)
    if (port == 0 || port > UINT16_MAX)
      return Error(Code::kInvalidArgument, StrCat("redeemed: port ", port));
  return r.End();
}
Result<> Decode(wire::Reader& r, SessionCall& m) {
  m.session = TRY(r.U64(), "session");
  return r.End();
}
Result<> Decode(wire::Reader& r, Begun& m) {
  for (bool* flag :
       {&m.has_stdin, &m.has_stdout, &m.has_stderr, &m.has_terminal, &m.has_result, &m.has_dialer})
    *flag = TRY(r.Bool(), "begun");
  return r.End();
}

std::string Packet(Type type, uint64_t id) {
  wire::Writer w;
  Begin(w, type, id);
  return w.Take();
}

Result<Header> DecodeHeader(wire::Reader& r) {
  Header header;
  header.type = static_cast<Type>(TRY(r.U32(), "message type"));
  header.id = TRY(r.U64(), "message id");
  return header;
}

std::string OkReply(uint64_t id) {
  wire::Writer w;
  Begin(w, Type::kReply, id);
  w.U32(0);
  w.Text("");
  return w.Take();
}

std::string ErrorReply(uint64_t id, const Error& error) {
  wire::Writer w;
  Begin(w, Type::kReply, id);
  w.U32(static_cast<uint32_t>(error.code()));
  w.Text(std::string_view(error.message()).substr(0, kMaxText));
  return w.Take();
}

Result<> DecodeReplyStatus(wire::Reader& r) {
  const uint32_t code = TRY(r.U32(), "reply");
  std::string message = TRY(r.Text(kMaxText), "reply");
  if (code > static_cast<uint32_t>(Code::kUnauthenticated))
    return Error(Code::kInvalidArgument, StrCat("reply: status code ", code));
  if (code != 0) return Error(static_cast<Code>(code), std::move(message));
  return Ok();
}

}  // namespace berth::stream
