// SPDX-License-Identifier: Apache-2.0
#include "api/admin/protocol.h"

#include "base/strings.h"
#include "base/wire.h"

namespace berth::api::admin {

namespace {
Result<> CheckVersion(wire::Reader& reader) {
  uint32_t version = TRY(reader.U32());
  if (version != kVersion) {
    return Error(Code::kInvalidArgument,
                 StrCat("admin protocol ", version, ", this berthd speaks ", kVersion));
  }
  return Ok();
}
}  // namespace

std::string Encode(const Request& request) {
  wire::Writer writer;
  writer.U32(kVersion);
  writer.U8(static_cast<uint8_t>(request.verb));
  writer.Text(request.name);
  writer.Bool(request.heal);
  return writer.Take();
}

std::string Encode(const Answer& answer) {
  wire::Writer writer;
  writer.U32(kVersion);
  writer.U32(static_cast<uint32_t>(answer.code));
  // Room is left for the lines; a longer message has said enough.
  writer.Text(std::string_view(answer.message).substr(0, kMessageLimit / 2));
  writer.Texts(answer.lines);
  return writer.Take();
}

Result<Request> DecodeRequest(std::string_view bytes) {
  wire::Reader reader(bytes);
  TRY(CheckVersion(reader));
  Request request;
  uint8_t verb = TRY(reader.U8());
  if (verb < static_cast<uint8_t>(Verb::kImportImage) ||
      verb > static_cast<uint8_t>(Verb::kShowMetrics)) {
    return Error(Code::kInvalidArgument, StrCat("admin verb ", verb, " is unknown"));
  }
  request.verb = static_cast<Verb>(verb);
  request.name = TRY(reader.Text(4096));
  request.heal = TRY(reader.Bool());
  TRY(reader.End());
  return request;
}

Result<Answer> DecodeAnswer(std::string_view bytes) {
  wire::Reader reader(bytes);
  TRY(CheckVersion(reader));
  Answer answer;
  uint32_t code = TRY(reader.U32());
  if (code > static_cast<uint32_t>(Code::kUnauthenticated)) {
    return Error(Code::kInvalidArgument, StrCat("admin answer code ", code, " is unknown"));
  }
  answer.code = static_cast<Code>(code);
  answer.message = TRY(reader.Text(kMessageLimit));
  answer.lines = TRY(reader.Texts());
  TRY(reader.End());
  return answer;
}

}  // namespace berth::api::admin
