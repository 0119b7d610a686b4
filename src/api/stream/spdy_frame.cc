// SPDX-License-Identifier: Apache-2.0
#include "api/stream/spdy_frame.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::stream::spdy {

namespace {

constexpr size_t kHeadSize = 8;
constexpr uint32_t kControlBit = 0x80000000;
constexpr uint32_t kVersion = 3;

Error Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

uint32_t Load(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}
void Store(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

std::string Control(FrameType type, size_t size) {
  std::string out;
  Store(out, kControlBit | kVersion << 16 | static_cast<uint32_t>(type));
  Store(out, static_cast<uint32_t>(size));
  return out;
}
std::string TwoWords(FrameType type, uint32_t first, uint32_t second) {
  std::string out = Control(type, 8);
  Store(out, first);
  Store(out, second);
  return out;
}

}  // namespace

Result<> FrameReader::StartFrame(FrameSink& sink) {
  const uint32_t first = Load(held_, 0);
  const uint32_t second = Load(held_, 4);
  flags_ = static_cast<uint8_t>(second >> 24);
  left_ = second & 0xffffff;
  if ((first & kControlBit) == 0) {
    held_.clear();
    stream_ = first;
    in_data_ = left_ != 0;
    if (in_data_) return Ok();
    return sink.OnData(stream_, {}, (flags_ & kFlagFin) != 0);
  }
  if ((first >> 16 & 0x7fff) != kVersion) return Bad("frame is not of SPDY/3");
  if (left_ > kMaxControlPayload)
    return Bad(StrCat("control frame of ", left_, " bytes, the most is ", kMaxControlPayload));
  return Ok();
}

Result<> FrameReader::Feed(std::string_view bytes, FrameSink& sink) {
  for (;;) {
    if (in_data_) {
      if (bytes.empty()) return Ok();
      const std::string_view piece = bytes.substr(0, left_);
      bytes.remove_prefix(piece.size());
      left_ -= piece.size();
      in_data_ = left_ != 0;
      TRY(sink.OnData(stream_, piece, !in_data_ && (flags_ & kFlagFin) != 0));
      continue;
    }
    if (held_.size() < kHeadSize) {
      if (bytes.empty()) return Ok();
      const std::string_view piece = bytes.substr(0, kHeadSize - held_.size());
      held_ += piece;
      bytes.remove_prefix(piece.size());
      if (held_.size() < kHeadSize) return Ok();
      TRY(StartFrame(sink));
      if (held_.empty()) continue;  // a data frame
    }
    const std::string_view piece = bytes.substr(0, left_);
    held_ += piece;
    bytes.remove_prefix(piece.size());
    left_ -= piece.size();
    if (left_ != 0) return Ok();
    const std::string frame = std::exchange(held_, {});
    TRY(sink.OnControl({.type = static_cast<FrameType>(Load(frame, 0) & 0xffff),
                        .flags = flags_,
                        .payload = std::string_view(frame).substr(kHeadSize)}));
  }
}

Result<StreamWord> DecodeStreamWord(std::string_view payload) {
  if (payload.size() != 8) return Bad("control frame of a wrong size");
  return StreamWord{.stream = Load(payload, 0) & kMaxId, .value = Load(payload, 4)};
}

Result<uint32_t> DecodePing(std::string_view payload) {
  if (payload.size() != 4) return Bad("PING of a wrong size");
  return Load(payload, 0);
}

Result<> CheckGoAway(std::string_view payload) {
  if (payload.size() != 8) return Bad("GOAWAY of a wrong size");
  return Ok();
}

Result<std::vector<std::pair<uint32_t, uint32_t>>> DecodeSettings(std::string_view payload) {
  if (payload.size() < 4 || (payload.size() - 4) % 8 != 0 ||
      Load(payload, 0) != (payload.size() - 4) / 8)
    return Bad("SETTINGS of a wrong size");
  std::vector<std::pair<uint32_t, uint32_t>> settings;
  for (size_t at = 4; at < payload.size(); at += 8)
    settings.emplace_back(Load(payload, at) & 0xffffff, Load(payload, at + 4));
  return settings;
}

Result<SynStream> DecodeSynStream(std::string_view payload) {
  // stream, associated stream, priority and slot
  if (payload.size() < 10) return Bad("SYN_STREAM is cut short");
  return SynStream{.stream = Load(payload, 0) & kMaxId, .block = payload.substr(10)};
}

Result<SynStream> DecodeStreamAndBlock(std::string_view payload) {
  if (payload.size() < 4) return Bad("HEADERS is cut short");
  return SynStream{.stream = Load(payload, 0) & kMaxId, .block = payload.substr(4)};
}

std::string EncodeDataHead(uint32_t stream, size_t size, bool fin) {
  std::string out;
  Store(out, stream);
  Store(out, (fin ? uint32_t{kFlagFin} << 24 : 0) | static_cast<uint32_t>(size));
  return out;
}

std::string EncodeSynReply(uint32_t stream, std::string_view block) {
  std::string out = Control(FrameType::kSynReply, 4 + block.size());
  Store(out, stream);
  out += block;
  return out;
}

std::string EncodeRstStream(uint32_t stream, RstStatus status) {
  return TwoWords(FrameType::kRstStream, stream, static_cast<uint32_t>(status));
}

std::string EncodePing(uint32_t id) {
  std::string out = Control(FrameType::kPing, 4);
  Store(out, id);
  return out;
}

std::string EncodeGoAway(uint32_t last_stream, GoAwayStatus status) {
  return TwoWords(FrameType::kGoAway, last_stream, static_cast<uint32_t>(status));
}

std::string EncodeWindowUpdate(uint32_t stream, uint32_t delta) {
  return TwoWords(FrameType::kWindowUpdate, stream, delta);
}

}  // namespace berth::stream::spdy
