// SPDX-License-Identifier: Apache-2.0
#include "api/stream/ws_frame.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace berth::stream::ws {

namespace {

constexpr uint8_t kFinBit = 0x80;
constexpr uint8_t kReservedBits = 0x70;
constexpr uint8_t kMaskBit = 0x80;
constexpr size_t kMaskSize = 4;

uint8_t Byte(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }
bool IsControl(Opcode opcode) { return static_cast<uint8_t>(opcode) >= 8; }

uint64_t Load(std::string_view bytes, size_t at, size_t width) {
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) value = value << 8 | Byte(bytes, at + i);
  return value;
}

}  // namespace

Error FrameReader::Bad(uint16_t code, std::string message) {
  close_code_ = code;
  return Error(Code::kInvalidArgument, std::move(message));
}

// What is known of it so far; at least one byte more than there is while it is not complete.
size_t FrameReader::HeadSize() const {
  if (head_.size() < 2) return 2;
  const uint8_t size = Byte(head_, 1) & 0x7f;
  return 2 + (size == 126 ? 2 : size == 127 ? 8 : 0) + kMaskSize;
}

Result<> FrameReader::StartFrame() {
  fin_ = (Byte(head_, 0) & kFinBit) != 0;
  opcode_ = static_cast<Opcode>(Byte(head_, 0) & 0x0f);
  const uint8_t size = Byte(head_, 1) & 0x7f;
  const size_t width = size == 126 ? 2 : size == 127 ? 8 : 0;
  left_ = width == 0 ? size : Load(head_, 2, width);
  if ((width == 2 && left_ < 126) || (width == 8 && (left_ <= UINT16_MAX || left_ >> 63 != 0)))
    return Bad(kProtocolError, "frame length is not the shortest");
  std::copy_n(head_.end() - kMaskSize, kMaskSize, mask_.begin());
  mask_at_ = 0;
  TRY(CheckHead());
  head_.clear();
  in_payload_ = true;
  return Ok();
}

Result<> FrameReader::CheckHead() {
  if ((Byte(head_, 0) & kReservedBits) != 0) return Bad(kProtocolError, "frame with reserved bits");
  switch (opcode_) {
    case Opcode::kClose:
    case Opcode::kPing:
    case Opcode::kPong:
      if (!fin_ || left_ > kMaxControl)
        return Bad(kProtocolError, "control frame that is long or in fragments");
      return Ok();
    case Opcode::kContinue:
      if (!in_message_) return Bad(kProtocolError, "continuation of nothing");
      break;
    case Opcode::kText:
    case Opcode::kBinary:
      if (in_message_) return Bad(kProtocolError, "message inside a message");
      in_message_ = message_begins_ = true;
      message_is_text_ = opcode_ == Opcode::kText;
      message_size_ = 0;
      break;
    default:
      return Bad(kProtocolError, StrCat("frame with opcode ", Byte(head_, 0) & 0x0f));
  }
  // Both are at most 2^63: no overflow.
  message_size_ += left_;
  if (message_size_ > kMaxMessage)
    return Bad(kTooBig, StrCat("message of more than ", kMaxMessage, " bytes"));
  return Ok();
}

void FrameReader::Unmask(std::string& bytes) {
  for (char& c : bytes) {
    c = static_cast<char>(c ^ mask_[mask_at_]);
    mask_at_ = (mask_at_ + 1) % kMaskSize;
  }
}

Result<> FrameReader::Feed(std::string_view bytes, FrameSink& sink) {
  for (;;) {
    if (closed_) return Ok();
    if (!in_payload_) {
      const std::string_view piece = bytes.substr(0, HeadSize() - head_.size());
      if (piece.empty()) return Ok();
      head_ += piece;
      bytes.remove_prefix(piece.size());
      // Known with the second byte, before anything of the payload is awaited.
      if (head_.size() >= 2 && (Byte(head_, 1) & kMaskBit) == 0)
        return Bad(kProtocolError, "frame without a mask");
      if (head_.size() < HeadSize()) continue;
      TRY(StartFrame());
    }
    const size_t size = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
    if (size == 0 && left_ != 0) return Ok();
    left_ -= size;
    in_payload_ = left_ != 0;
    TRY(OnPayload(bytes.substr(0, size), sink));
    bytes.remove_prefix(size);
  }
}

Result<> FrameReader::OnPayload(std::string_view masked, FrameSink& sink) {
  std::string bytes(masked);
  Unmask(bytes);
  if (IsControl(opcode_)) {
    control_ += bytes;
    if (in_payload_) return Ok();
    return OnControl(sink);
  }
  const bool ends = fin_ && !in_payload_;
  if (ends) in_message_ = false;
  return sink.OnMessage(message_is_text_, bytes, std::exchange(message_begins_, false), ends);
}

Result<> FrameReader::OnControl(FrameSink& sink) {
  const std::string payload = std::exchange(control_, {});
  if (opcode_ == Opcode::kPing) return sink.OnPing(payload);
  if (opcode_ == Opcode::kPong) return Ok();
  if (payload.size() == 1) return Bad(kProtocolError, "Close with half a code");
  uint16_t code = 0;
  if (!payload.empty()) {
    code = static_cast<uint16_t>(Load(payload, 0, 2));
    const std::string_view reason = std::string_view(payload).substr(2);
    if (!IsValidCloseCode(code)) return Bad(kProtocolError, StrCat("Close with code ", code));
    if (ToValidUtf8(reason) != reason) return Bad(kInvalidData, "Close with a broken text");
  }
  closed_ = true;
  return sink.OnClose(code);
}

std::string EncodeHead(Opcode opcode, size_t size) {
  std::string out;
  out += static_cast<char>(kFinBit | static_cast<uint8_t>(opcode));
  const size_t width = size <= 125 ? 0 : size <= UINT16_MAX ? 2 : 8;
  out += static_cast<char>(width == 0 ? size : width == 2 ? 126 : 127);
  for (size_t i = width; i-- > 0;) out += static_cast<char>(size >> (8 * i) & 0xff);
  return out;
}

std::string EncodeClose(uint16_t code) {
  std::string out = EncodeHead(Opcode::kClose, 2);
  out += static_cast<char>(code >> 8);
  out += static_cast<char>(code & 0xff);
  return out;
}

bool IsValidCloseCode(uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

}  // namespace berth::stream::ws
