// SPDX-License-Identifier: Apache-2.0
// The frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00, sections 2.2 and 2.6): a reader that takes bytes as they come
// and never holds more than one control frame, and the encoders. Header blocks: spdy_headers.h. Values; one thread.
//
//   control   1 version(15) type(16) | flags(8) length(24) | payload     at most kMaxControlPayload
//   data      0 stream(31)           | flags(8) length(24) | payload     handed on in pieces
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::stream::spdy {

inline constexpr size_t kMaxControlPayload = 16U << 10;
inline constexpr uint32_t kMaxId = 0x7fffffff;
inline constexpr int64_t kInitialWindow = 64 << 10;

enum class FrameType : uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};
inline constexpr uint8_t kFlagFin = 1;
inline constexpr uint8_t kFlagUnidirectional = 2;  // of SYN_STREAM

enum class RstStatus : uint32_t {
  kProtocolError = 1,
  kInvalidStream = 2,
  kRefusedStream = 3,
  kCancel = 5,
  kInternalError = 6,
  kFlowControlError = 7,
};
enum class GoAwayStatus : uint32_t { kOk = 0, kProtocolError = 1 };

struct ControlFrame {
  FrameType type{};
  uint8_t flags = 0;
  std::string_view payload;
};

class FrameSink {
 public:
  virtual ~FrameSink() = default;
  virtual Result<> OnControl(const ControlFrame& frame) = 0;
  // A piece of a data frame; `fin` with its last one, which may be empty.
  virtual Result<> OnData(uint32_t stream, std::string_view piece, bool fin) = 0;
};

class FrameReader {
 public:
  // Hands all that is complete to the sink. InvalidArgument: not SPDY/3, or a control frame that is too long; the
  // sink's errors come back too. The reader is of no use after an error.
  Result<> Feed(std::string_view bytes, FrameSink& sink);

 private:
  Result<> StartFrame(FrameSink& sink);

  std::string held_;      // a frame's first 8 bytes, then its payload if it is a control frame
  bool in_data_ = false;  // inside a data frame
  uint32_t stream_ = 0;
  uint8_t flags_ = 0;
  size_t left_ = 0;
};

// Fixed-size payloads. InvalidArgument when the size is wrong.
struct StreamWord {  // RST_STREAM, WINDOW_UPDATE: a stream and a number
  uint32_t stream = 0;
  uint32_t value = 0;
};
Result<StreamWord> DecodeStreamWord(std::string_view payload);
Result<uint32_t> DecodePing(std::string_view payload);
Result<> CheckGoAway(std::string_view payload);
// (id, value) pairs. The count must be exactly what the payload holds.
Result<std::vector<std::pair<uint32_t, uint32_t>>> DecodeSettings(std::string_view payload);
inline constexpr uint32_t kSettingsInitialWindow = 7;

struct SynStream {
  uint32_t stream = 0;
  std::string_view block;
};
Result<SynStream> DecodeSynStream(std::string_view payload);
// SYN_REPLY, HEADERS.
Result<SynStream> DecodeStreamAndBlock(std::string_view payload);

std::string EncodeDataHead(uint32_t stream, size_t size, bool fin);
std::string EncodeSynReply(uint32_t stream, std::string_view block);
std::string EncodeRstStream(uint32_t stream, RstStatus status);
std::string EncodePing(uint32_t id);
std::string EncodeGoAway(uint32_t last_stream, GoAwayStatus status);
std::string EncodeWindowUpdate(uint32_t stream, uint32_t delta);

}  // namespace berth::stream::spdy
