// SPDX-License-Identifier: Apache-2.0
// A session for fuzz targets of channels: writes down what it hears, and answers everything. One thread.
#pragma once

#include <set>

#include "api/stream/channels.h"
#include "base/strings.h"
#include "tests/fuzz/fuzz.h"

namespace berth::fuzz {

class StreamOutput final : public stream::Output {
 public:
  void Write(std::string_view head, std::string_view body) override {
    written_ += head.size() + body.size();
  }
  size_t Room() const override { return 100'000; }
  void OnConsumed() override {}

 private:
  size_t written_ = 0;
};

class StreamUser final : public stream::ChannelUser {
 public:
  explicit StreamUser(std::string& seen) : seen_(seen) {}

  bool Wants(const stream::ChannelHeaders& headers) const override { return headers.size() < 3; }
  void OnOpen(stream::ChannelId id, const stream::ChannelHeaders& headers) override {
    Require(open.insert(id).second);
    seen_ += StrCat("open ", id, "\n");
    for (const auto& [name, value] : headers) seen_ += StrCat(name, "=", value, "\n");
  }
  // Pieces of one message may be cut anywhere: only the sum is the same.
  void OnData(stream::ChannelId id, std::string_view bytes) override {
    Require(open.count(id) == 1 && !bytes.empty());
    for (char c : bytes) seen_ += StrCat(id, ":", c, "\n");
    channels->Consumed(id, bytes.size());
    channels->Send(id, bytes.substr(0, channels->Room(id)));
  }
  void OnEnd(stream::ChannelId id) override {
    seen_ += StrCat("end ", id, "\n");
    // Answers half of them, and gives up the other half.
    if (id % 4 == 1) {
      channels->Reset(id);
      open.erase(id);
    } else {
      channels->End(id);
    }
  }
  void OnReset(stream::ChannelId id) override {
    Require(open.erase(id) == 1);
    seen_ += StrCat("reset ", id, "\n");
  }
  void OnLastOpened() override { seen_ += "last\n"; }
  void OnRoom() override {}

  stream::Channels* channels = nullptr;
  std::set<stream::ChannelId> open;

 private:
  std::string& seen_;
};

}  // namespace berth::fuzz
