// SPDX-License-Identifier: Apache-2.0
// The packets' frame, the exit record's text, and the rules for names.
#include "monitor/protocol.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::monitor {

std::string Packet(Type type, uint64_t id) {
  wire::Writer w;
  w.U32(static_cast<uint32_t>(type));
  w.U64(id);
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
  w.U32(static_cast<uint32_t>(Type::kReply));
  w.U64(id);
  w.U32(0);
  w.U32(0);
  w.Text("");
  return w.Take();
}

std::string ErrorReply(uint64_t id, const Error& error) {
  wire::Writer w;
  w.U32(static_cast<uint32_t>(Type::kReply));
  w.U64(id);
  w.U32(static_cast<uint32_t>(error.code()));
  w.U32(static_cast<uint32_t>(error.sys_errno()));
  w.Text(std::string_view(error.message()).substr(0, kMaxText));
  return w.Take();
}

Result<> DecodeReplyStatus(wire::Reader& r) {
  const uint32_t code = TRY(r.U32(), "reply");
  TRY(r.U32(), "reply");  // errno: said in the message already
  std::string message = TRY(r.Text(kMaxText), "reply");
  if (code > static_cast<uint32_t>(Code::kUnauthenticated))
    return Error(Code::kInvalidArgument, StrCat("reply: status code ", code));
  if (code != 0) return Error(static_cast<Code>(code), std::move(message));
  return Ok();
}

std::string ExitToText(const Exit& exit) {
  return StrCat("1 ", exit.code, ' ', exit.signal, ' ', exit.oom_killed ? 1 : 0, ' ',
                exit.finished_at, '\n');
}

Result<Exit> ExitFromText(std::string_view text) {
  if (!text.ends_with('\n')) return Error(Code::kDataLoss, "exit record: not whole");
  text.remove_suffix(1);
  const std::vector<std::string_view> fields = Split(text, ' ');
  if (fields.size() != 5 || fields[0] != "1")
    return Error(Code::kDataLoss, StrCat("exit record: ", Quote(text), " is not of version 1"));
  Exit exit;
  exit.code = static_cast<uint32_t>(TRY(ParseInt(fields[1], 0, 255, "exit code")));
  exit.signal = static_cast<uint32_t>(TRY(ParseInt(fields[2], 0, 127, "signal")));
  exit.oom_killed = TRY(ParseInt(fields[3], 0, 1, "oom")) == 1;
  exit.finished_at = TRY(ParseInt(fields[4], 0, INT64_MAX, "time of exit"));
  return exit;
}

bool IsPlainId(std::string_view id) {
  return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  });
}

bool IsPlainRelativePath(std::string_view path) {
  if (path.empty() || path.size() > kMaxText || path.find('\0') != std::string_view::npos)
    return false;
  for (std::string_view element : Split(path, '/')) {
    if (element.empty() || element == "." || element == "..") return false;
  }
  return true;
}

}  // namespace berth::monitor
