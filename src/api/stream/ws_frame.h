// SPDX-License-Identifier: Apache-2.0
// The frames of WebSocket (RFC 6455, section 5) as a server sees them: a reader that takes bytes as they come, unmasks
// them, and never holds more than one control frame; and the encoder. Values; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::stream::ws {

inline constexpr uint64_t kMaxMessage = 32U
                                        << 20;  // bytes of one message, all its fragments together
inline constexpr size_t kMaxControl = 125;

enum class Opcode : uint8_t {
  kContinue = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10
};

// Section 7.4.1.
inline constexpr uint16_t kNormalClosure = 1000;
inline constexpr uint16_t kGoingAway = 1001;
inline constexpr uint16_t kProtocolError = 1002;
inline constexpr uint16_t kInvalidData = 1007;
inline constexpr uint16_t kTooBig = 1009;
inline constexpr uint16_t kInternalError = 1011;

class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // A piece of a message: `begins` with its first one, `ends` with its last one, which may be empty.
  virtual Result<> OnMessage(bool text, std::string_view piece, bool begins, bool ends) = 0;
  virtual Result<> OnPing(std::string_view payload) = 0;
  // `code` is 0 when the client gave none.
  virtual Result<> OnClose(uint16_t code) = 0;
};

class FrameReader {
 public:
  // Hands all that is complete to the sink. An error is told to the client with CloseCode(); the reader is of no use
  // afterwards. After the client's Close everything is ignored.
  Result<> Feed(std::string_view bytes, FrameSink& sink);
  uint16_t CloseCode() const { return close_code_; }

 private:
  Error Bad(uint16_t code, std::string message);
  size_t HeadSize() const;
  Result<> StartFrame();
  Result<> CheckHead();
  Result<> OnPayload(std::string_view masked, FrameSink& sink);
  Result<> OnControl(FrameSink& sink);
  void Unmask(std::string& bytes);

  std::string head_;     // of the frame at hand, until it is complete
  std::string control_;  // payload of a control frame
  bool in_payload_ = false;
  bool fin_ = false;
  Opcode opcode_{};
  uint64_t left_ = 0;
  std::array<char, 4> mask_{};
  size_t mask_at_ = 0;
  bool in_message_ = false;  // begun, not ended
  bool message_is_text_ = false;
  bool message_begins_ = false;
  uint64_t message_size_ = 0;
  bool closed_ = false;
  uint16_t close_code_ = kProtocolError;
};

// The head of an unmasked frame that is a whole message.
std::string EncodeHead(Opcode opcode, size_t size);
std::string EncodeClose(uint16_t code);

// Whether a peer may send it (section 7.4).
bool IsValidCloseCode(uint16_t code);

}  // namespace berth::stream::ws
