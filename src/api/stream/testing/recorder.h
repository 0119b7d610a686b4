// SPDX-License-Identifier: Apache-2.0
// Both ends of Channels for tests: what goes to the client as one text, what the session hears as lines. One thread.
#pragma once

#include <string>
#include <vector>

#include "api/stream/channels.h"
#include "base/strings.h"

namespace berth::stream {

class RecordingOutput final : public Output {
 public:
  void Write(std::string_view head, std::string_view body) override {
    bytes += head;
    bytes += body;
  }
  size_t Room() const override { return room; }
  void OnConsumed() override {}

  std::string bytes;
  size_t room = 1U << 20;
};

class RecordingUser final : public ChannelUser {
 public:
  bool Wants(const ChannelHeaders& headers) const override {
    const auto type = headers.find("streamtype");
    return type != headers.end() && type->second != "unwanted";
  }
  void OnOpen(ChannelId id, const ChannelHeaders& headers) override {
    log.push_back(StrCat("open ", id, " ", headers.at("streamtype")));
  }
  void OnData(ChannelId id, std::string_view bytes) override {
    log.push_back(StrCat("data ", id, " ", bytes));
  }
  void OnEnd(ChannelId id) override { log.push_back(StrCat("end ", id)); }
  void OnReset(ChannelId id) override { log.push_back(StrCat("reset ", id)); }
  void OnLastOpened() override { log.push_back("last"); }
  void OnRoom() override { log.push_back("room"); }

  std::vector<std::string> log;
};

inline void StoreWord(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

// The first 8 bytes of a SPDY/3 control frame.
inline std::string EncodeControl(uint32_t type, uint8_t flags, size_t size) {
  std::string out;
  StoreWord(out, 0x80030000U | type);
  StoreWord(out, uint32_t{flags} << 24 | static_cast<uint32_t>(size));
  return out;
}

}  // namespace berth::stream
