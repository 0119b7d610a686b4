// SPDX-License-Identifier: Apache-2.0
// Channels carried by WebSocket messages, and SPDY inside them. Owned by Connection; one thread.
//
//   binary   message = channel number (one byte), bytes                  channel.k8s.io, v2. to v5.
//   base64   message = digit ('0' + channel number), base64 of the bytes base64.channel.k8s.io
//   close    message = 255, channel number: the client's end of it       v5 only
//   tunnel   messages = the bytes of a SPDY/3.1 connection               SPDY/3.1+portforward.k8s.io
//
// The server has no word for the end of one channel: all end with the connection. A client before v5 has none either.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "api/stream/base64.h"
#include "api/stream/channels.h"
#include "api/stream/ws_frame.h"

namespace berth::stream {

struct WsChannel {
  ChannelHeaders headers;
  bool client_writes = false;
  std::string first;  // sent at the start, even when empty, if `greet`
  bool greet = false;
};

struct WsOptions {
  bool base64 = false;
  bool close_channel = false;       // v5
  std::vector<WsChannel> channels;  // by number
};

class WsChannels final : public Channels, private ws::FrameSink {
 public:
  WsChannels(Output& output, ChannelUser& user, WsOptions options);

  void Start() override;
  Result<> Receive(std::string_view bytes) override;
  size_t Room(ChannelId id) const override;
  void Send(ChannelId id, std::string_view bytes) override;
  void End(ChannelId id) override;
  void Reset(ChannelId id) override { End(id); }
  void Consumed(ChannelId, size_t) override { output_.OnConsumed(); }
  void Close() override;
  bool IsClosedByClient() const override { return client_closed_; }
  bool CanHalfClose() const override { return options_.close_channel; }

 private:
  struct State {
    bool client_ended = false;
    bool we_ended = false;
  };

  Result<> OnMessage(bool text, std::string_view piece, bool begins, bool ends) override;
  Result<> OnPing(std::string_view payload) override;
  Result<> OnClose(uint16_t code) override;
  Result<> OnChannelBytes(std::string_view piece, bool ends);
  Result<> OnCloseMessage(std::string_view piece, bool ends);
  void SendMessage(ChannelId id, std::string_view bytes);
  void ClientEnded(ChannelId id);
  void SendClose(uint16_t code);

  Output& output_;
  ChannelUser& user_;
  const WsOptions options_;
  ws::FrameReader reader_;
  std::vector<State> states_;
  // Of the message at hand.
  std::optional<unsigned int> channel_;
  std::optional<unsigned int> to_close_;
  Base64Decoder decoder_;
  bool client_closed_ = false;
  bool closed_ = false;  // our Close went
};

// A SPDY connection whose bytes are the payload of binary messages.
class WsTunnel final : public Channels, private ws::FrameSink, private Output {
 public:
  using MakeInner = std::function<Result<std::unique_ptr<Channels>>(Output& output)>;
  static Result<std::unique_ptr<WsTunnel>> Make(Output& output, const MakeInner& make);

  void Start() override { inner_->Start(); }
  Result<> Receive(std::string_view bytes) override;
  size_t Room(ChannelId id) const override { return inner_->Room(id); }
  void Send(ChannelId id, std::string_view bytes) override { inner_->Send(id, bytes); }
  void End(ChannelId id) override { inner_->End(id); }
  void Reset(ChannelId id) override { inner_->Reset(id); }
  void Consumed(ChannelId id, size_t bytes) override { inner_->Consumed(id, bytes); }
  void Close() override;
  bool IsClosedByClient() const override { return client_closed_ || inner_->IsClosedByClient(); }
  bool CanHalfClose() const override { return true; }

 private:
  explicit WsTunnel(Output& output) : output_(output) {}
  // Output of the SPDY connection.
  void Write(std::string_view head, std::string_view body) override;
  size_t Room() const override { return output_.Room(); }
  void OnConsumed() override { output_.OnConsumed(); }
  Result<> OnMessage(bool text, std::string_view piece, bool begins, bool ends) override;
  Result<> OnPing(std::string_view payload) override;
  Result<> OnClose(uint16_t code) override;
  void SendClose(uint16_t code);

  Output& output_;
  std::unique_ptr<Channels> inner_;
  ws::FrameReader reader_;
  bool client_closed_ = false;
  bool closed_ = false;
};

}  // namespace berth::stream
