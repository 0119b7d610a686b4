// SPDX-License-Identifier: Apache-2.0
#include "api/stream/spdy_channels.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::stream {

using spdy::FrameType;
using spdy::RstStatus;

namespace {

constexpr int64_t kMaxWindow = 0x7fffffff;

Error Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

}  // namespace

Result<std::unique_ptr<SpdyChannels>> SpdyChannels::Make(Output& output, ChannelUser& user,
                                                         size_t max_streams) {
  std::unique_ptr<SpdyChannels> channels(new SpdyChannels(output, user, max_streams));
  channels->inflater_ = TRY(spdy::HeaderInflater::Make());
  channels->deflater_ = TRY(spdy::HeaderDeflater::Make());
  return channels;
}

Result<> SpdyChannels::Receive(std::string_view bytes) {
  auto fed = reader_.Feed(bytes, *this);
  if (!fed) {
    output_.Write(spdy::EncodeGoAway(last_id_, spdy::GoAwayStatus::kProtocolError), {});
    closed_ = true;
  }
  return fed;
}

SpdyChannels::Stream* SpdyChannels::Find(ChannelId id) {
  auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : &it->second;
}

Result<> SpdyChannels::OnControl(const spdy::ControlFrame& frame) {
  switch (frame.type) {
    case FrameType::kSynStream:
      return OnSynStream(frame);
    case FrameType::kSynReply:
      return Bad("SYN_REPLY without a stream of ours");
    case FrameType::kRstStream:
      return OnRstStream(frame);
    case FrameType::kSettings:
      return OnSettings(frame);
    case FrameType::kPing:
      return OnPing(frame);
    case FrameType::kGoAway:
      return OnGoAway(frame);
    case FrameType::kHeaders:
      return OnHeaders(frame);
    case FrameType::kWindowUpdate:
      return OnWindowUpdate(frame);
  }
  // Section 2.2.1: a type that is not known is passed over.
  return Ok();
}

Result<> SpdyChannels::OnSynStream(const spdy::ControlFrame& frame) {
  const spdy::SynStream syn = TRY(spdy::DecodeSynStream(frame.payload));
  // Inflated whatever comes of it: the zlib stream goes on over all blocks.
  const std::string block = TRY(inflater_->Inflate(syn.block));
  if (syn.stream % 2 == 0 || syn.stream <= last_id_)
    return Bad(StrCat("SYN_STREAM with id ", syn.stream));
  last_id_ = syn.stream;
  if (closed_ || client_leaves_ || streams_.size() >= max_streams_) {
    Refuse(syn.stream, RstStatus::kRefusedStream);
    return Ok();
  }
  auto headers = spdy::ParseHeaders(block);
  if (!headers || (frame.flags & spdy::kFlagUnidirectional) != 0 || !user_.Wants(*headers)) {
    Refuse(syn.stream, RstStatus::kProtocolError);
    return Ok();
  }
  Stream stream;
  stream.window = initial_window_;
  streams_.emplace(syn.stream, stream);
  output_.Write(spdy::EncodeSynReply(syn.stream, TRY(deflater_->Deflate({}))), {});
  user_.OnOpen(syn.stream, *headers);
  if ((frame.flags & spdy::kFlagFin) != 0) ClientEnded(syn.stream);
  return Ok();
}

void SpdyChannels::Refuse(ChannelId id, RstStatus status) {
  output_.Write(spdy::EncodeRstStream(id, status), {});
}

Result<> SpdyChannels::OnHeaders(const spdy::ControlFrame& frame) {
  const spdy::SynStream headers = TRY(spdy::DecodeStreamAndBlock(frame.payload));
  TRY(inflater_->Inflate(headers.block));
  if (headers.stream > last_id_) return Bad(StrCat("HEADERS for stream ", headers.stream));
  if ((frame.flags & spdy::kFlagFin) != 0) ClientEnded(headers.stream);
  return Ok();
}

Result<> SpdyChannels::OnRstStream(const spdy::ControlFrame& frame) {
  const spdy::StreamWord reset = TRY(spdy::DecodeStreamWord(frame.payload));
  if (streams_.erase(reset.stream) != 0) user_.OnReset(reset.stream);
  return Ok();
}

Result<> SpdyChannels::OnSettings(const spdy::ControlFrame& frame) {
  const auto settings = TRY(spdy::DecodeSettings(frame.payload));
  stream_windows_ = session_windows_ = true;
  for (const auto& [id, value] : settings) {
    if (id != spdy::kSettingsInitialWindow) continue;
    if (value > kMaxWindow) return Bad("SETTINGS with an impossible window");
    // Section 2.6.8: the windows of the streams there are move by the difference, and may become negative.
    const int64_t difference = int64_t{value} - initial_window_;
    initial_window_ = value;
    for (auto& [stream_id, stream] : streams_) {
      stream.window += difference;
      if (stream.window > kMaxWindow) return Bad("SETTINGS that makes a window overflow");
    }
  }
  user_.OnRoom();
  return Ok();
}

Result<> SpdyChannels::OnPing(const spdy::ControlFrame& frame) {
  const uint32_t id = TRY(spdy::DecodePing(frame.payload));
  // Even ones would be answers to ours; we send none.
  if (id % 2 == 1) output_.Write(spdy::EncodePing(id), {});
  return Ok();
}

Result<> SpdyChannels::OnGoAway(const spdy::ControlFrame& frame) {
  TRY(spdy::CheckGoAway(frame.payload));
  if (!std::exchange(client_leaves_, true)) user_.OnLastOpened();
  return Ok();
}

Result<> SpdyChannels::OnWindowUpdate(const spdy::ControlFrame& frame) {
  const spdy::StreamWord update = TRY(spdy::DecodeStreamWord(frame.payload));
  const int64_t delta = update.value & kMaxWindow;
  if (delta == 0) return Bad("WINDOW_UPDATE of nothing");
  if (update.stream == 0) {
    session_windows_ = true;
    session_window_ += delta;
    if (session_window_ > kMaxWindow)
      return Bad("WINDOW_UPDATE that overflows the session's window");
  } else {
    stream_windows_ = true;
    Stream* stream = Find(update.stream);
    if (stream == nullptr) return Ok();
    stream->window += delta;
    if (stream->window > kMaxWindow) {
      Refuse(update.stream, RstStatus::kFlowControlError);
      streams_.erase(update.stream);
      user_.OnReset(update.stream);
      return Ok();
    }
  }
  user_.OnRoom();
  return Ok();
}

Result<> SpdyChannels::OnData(uint32_t id, std::string_view piece, bool fin) {
  if (id == 0 || id > last_id_) return Bad(StrCat("data for stream ", id, ", which is not there"));
  Stream* stream = Find(id);
  if (stream == nullptr || stream->client_ended) {
    // Sent before the client knew that the stream is gone.
    Acknowledge(0, session_unacknowledged_, piece.size());
    return Ok();
  }
  if (!piece.empty()) user_.OnData(id, piece);
  if (fin) ClientEnded(id);
  return Ok();
}

void SpdyChannels::ClientEnded(ChannelId id) {
  Stream* stream = Find(id);
  if (stream == nullptr || std::exchange(stream->client_ended, true)) return;
  DropIfDone(id);
  user_.OnEnd(id);
}

void SpdyChannels::DropIfDone(ChannelId id) {
  const Stream* stream = Find(id);
  if (stream != nullptr && stream->client_ended && stream->we_ended) streams_.erase(id);
}

size_t SpdyChannels::Room(ChannelId id) const {
  const auto it = streams_.find(id);
  if (it == streams_.end() || it->second.we_ended || closed_) return 0;
  int64_t room = static_cast<int64_t>(output_.Room());
  if (stream_windows_) room = std::min(room, it->second.window);
  if (session_windows_) room = std::min(room, session_window_);
  return room > 0 ? static_cast<size_t>(room) : 0;
}

void SpdyChannels::Send(ChannelId id, std::string_view bytes) {
  Stream* stream = Find(id);
  if (stream == nullptr || stream->we_ended || closed_ || bytes.empty()) return;
  stream->window -= static_cast<int64_t>(bytes.size());
  session_window_ -= static_cast<int64_t>(bytes.size());
  // Whoever sends no WINDOW_UPDATE may get any amount.
  stream->window = std::max(stream->window, -kMaxWindow);
  session_window_ = std::max(session_window_, -kMaxWindow);
  output_.Write(spdy::EncodeDataHead(id, bytes.size(), false), bytes);
}

void SpdyChannels::End(ChannelId id) {
  Stream* stream = Find(id);
  if (stream == nullptr || closed_ || std::exchange(stream->we_ended, true)) return;
  output_.Write(spdy::EncodeDataHead(id, 0, true), {});
  DropIfDone(id);
}

void SpdyChannels::Reset(ChannelId id) {
  if (streams_.erase(id) != 0 && !closed_) Refuse(id, RstStatus::kCancel);
}

void SpdyChannels::Acknowledge(uint32_t id, size_t& unacknowledged, size_t bytes) {
  unacknowledged += bytes;
  if (unacknowledged < static_cast<size_t>(spdy::kInitialWindow) / 2 || closed_) return;
  output_.Write(spdy::EncodeWindowUpdate(id, static_cast<uint32_t>(unacknowledged)), {});
  unacknowledged = 0;
}

void SpdyChannels::Consumed(ChannelId id, size_t bytes) {
  Acknowledge(0, session_unacknowledged_, bytes);
  Stream* stream = Find(id);
  if (stream != nullptr && !stream->client_ended) Acknowledge(id, stream->unacknowledged, bytes);
  output_.OnConsumed();
}

void SpdyChannels::Close() {
  if (std::exchange(closed_, true)) return;
  output_.Write(spdy::EncodeGoAway(last_id_, spdy::GoAwayStatus::kOk), {});
}

}  // namespace berth::stream
