// SPDX-License-Identifier: Apache-2.0
#include "api/stream/ws_channels.h"

#include <utility>

#include "base/base64.h"
#include "base/strings.h"

namespace berth::stream {

namespace {

constexpr unsigned int kCloseChannel = 255;
constexpr unsigned int kFirstDigit = '0';

Error Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

std::string Pong(std::string_view payload) {
  return ws::EncodeHead(ws::Opcode::kPong, payload.size()).append(payload);
}

}  // namespace

WsChannels::WsChannels(Output& output, ChannelUser& user, WsOptions options)
    : output_(output),
      user_(user),
      options_(std::move(options)),
      states_(options_.channels.size()) {}

void WsChannels::Start() {
  for (size_t i = 0; i < options_.channels.size(); ++i)
    if (options_.channels[i].greet)
      SendMessage(static_cast<ChannelId>(i), options_.channels[i].first);
  for (size_t i = 0; i < options_.channels.size(); ++i) {
    const WsChannel& channel = options_.channels[i];
    if (user_.Wants(channel.headers)) user_.OnOpen(static_cast<ChannelId>(i), channel.headers);
  }
}

Result<> WsChannels::Receive(std::string_view bytes) {
  auto fed = reader_.Feed(bytes, *this);
  if (!fed) SendClose(reader_.CloseCode());
  return fed;
}

Result<> WsChannels::OnMessage(bool, std::string_view piece, bool begins, bool ends) {
  if (begins) channel_ = to_close_ = std::nullopt;
  if (!channel_ && !piece.empty()) {
    channel_ = static_cast<unsigned char>(piece[0]);
    piece.remove_prefix(1);
    // What is below '0' becomes a number that no channel has.
    if (options_.base64) *channel_ -= kFirstDigit;
  }
  // An empty message says nothing.
  if (!channel_) return Ok();
  if (options_.close_channel && *channel_ == kCloseChannel) return OnCloseMessage(piece, ends);
  return OnChannelBytes(piece, ends);
}

Result<> WsChannels::OnCloseMessage(std::string_view piece, bool ends) {
  if (!piece.empty() && !to_close_) {
    to_close_ = static_cast<unsigned char>(piece[0]);
    piece.remove_prefix(1);
  }
  if (!piece.empty() || (ends && (!to_close_ || *to_close_ >= states_.size())))
    return Bad("message that closes no channel");
  if (ends) ClientEnded(*to_close_);
  return Ok();
}

Result<> WsChannels::OnChannelBytes(std::string_view piece, bool ends) {
  std::string decoded;
  if (options_.base64) {
    decoded = TRY(decoder_.Feed(piece));
    if (ends) TRY(decoder_.End());
    piece = decoded;
  }
  const bool known = *channel_ < states_.size() && options_.channels[*channel_].client_writes &&
                     !states_[*channel_].client_ended;
  if (known && !piece.empty()) user_.OnData(*channel_, piece);
  return Ok();
}

void WsChannels::ClientEnded(ChannelId id) {
  if (!std::exchange(states_[id].client_ended, true)) user_.OnEnd(id);
}

Result<> WsChannels::OnPing(std::string_view payload) {
  if (!closed_) output_.Write(Pong(payload), {});
  return Ok();
}

Result<> WsChannels::OnClose(uint16_t code) {
  client_closed_ = true;
  // Section 5.5.1: the code is sent back.
  SendClose(code == 0 ? ws::kNormalClosure : code);
  return Ok();
}

size_t WsChannels::Room(ChannelId id) const {
  if (id >= states_.size() || states_[id].we_ended || closed_) return 0;
  return output_.Room();
}

void WsChannels::Send(ChannelId id, std::string_view bytes) {
  if (id < states_.size() && !states_[id].we_ended && !closed_ && !bytes.empty())
    SendMessage(id, bytes);
}

void WsChannels::SendMessage(ChannelId id, std::string_view bytes) {
  if (options_.base64) {
    const std::string text = Base64Encode(bytes);
    std::string head = ws::EncodeHead(ws::Opcode::kText, text.size() + 1);
    head += static_cast<char>(kFirstDigit + id);
    return output_.Write(head, text);
  }
  std::string head = ws::EncodeHead(ws::Opcode::kBinary, bytes.size() + 1);
  head += static_cast<char>(id);
  output_.Write(head, bytes);
}

void WsChannels::End(ChannelId id) {
  if (id < states_.size()) states_[id].we_ended = true;
}

void WsChannels::Close() { SendClose(ws::kNormalClosure); }

void WsChannels::SendClose(uint16_t code) {
  if (!std::exchange(closed_, true)) output_.Write(ws::EncodeClose(code), {});
}

Result<std::unique_ptr<WsTunnel>> WsTunnel::Make(Output& output, const MakeInner& make) {
  std::unique_ptr<WsTunnel> tunnel(new WsTunnel(output));
  tunnel->inner_ = TRY(make(*tunnel));
  return tunnel;
}

Result<> WsTunnel::Receive(std::string_view bytes) {
  auto fed = reader_.Feed(bytes, *this);
  if (!fed) SendClose(reader_.CloseCode());
  return fed;
}

void WsTunnel::Write(std::string_view head, std::string_view body) {
  if (closed_) return;
  const std::string frame = ws::EncodeHead(ws::Opcode::kBinary, head.size() + body.size());
  output_.Write(frame, head);
  output_.Write(body, {});
}

Result<> WsTunnel::OnMessage(bool text, std::string_view piece, bool, bool) {
  if (text) return Bad("text message in a tunnel");
  return inner_->Receive(piece);
}

Result<> WsTunnel::OnPing(std::string_view payload) {
  if (!closed_) output_.Write(Pong(payload), {});
  return Ok();
}

Result<> WsTunnel::OnClose(uint16_t code) {
  client_closed_ = true;
  SendClose(code == 0 ? ws::kNormalClosure : code);
  return Ok();
}

void WsTunnel::Close() {
  inner_->Close();
  SendClose(ws::kNormalClosure);
}

void WsTunnel::SendClose(uint16_t code) {
  if (!std::exchange(closed_, true)) output_.Write(ws::EncodeClose(code), {});
}

}  // namespace berth::stream
