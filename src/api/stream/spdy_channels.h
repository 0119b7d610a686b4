// SPDX-License-Identifier: Apache-2.0
// Channels carried by SPDY/3.1: one stream each, opened by the client. Owned by Connection; one thread.
//
//   stream: open --FIN in--> half (we send)     --FIN out--> gone     RST_STREAM of either side: gone at once
//                --FIN out-> half (client sends) --FIN in--> gone
//
// Flow control (section 2.6.8; session window: SPDY/3.1). The SPDY library that every Kubernetes client uses neither
// sends WINDOW_UPDATE nor heeds it, so windows cannot be demanded: a client is held to take part in flow control once it
// has sent SETTINGS or WINDOW_UPDATE, and until then only TCP says how much it takes. Its bytes are acknowledged with
// WINDOW_UPDATE in any case; one that sends beyond its window is made to wait, not reset (see channels.h).
#pragma once

#include <map>
#include <memory>

#include "api/stream/channels.h"
#include "api/stream/spdy_frame.h"
#include "api/stream/spdy_headers.h"

namespace berth::stream {

class SpdyChannels final : public Channels, private spdy::FrameSink {
 public:
  // At most `max_streams` at a time; the next one is refused.
  static Result<std::unique_ptr<SpdyChannels>> Make(Output& output, ChannelUser& user,
                                                    size_t max_streams);

  Result<> Receive(std::string_view bytes) override;
  size_t Room(ChannelId id) const override;
  void Send(ChannelId id, std::string_view bytes) override;
  void End(ChannelId id) override;
  void Reset(ChannelId id) override;
  void Consumed(ChannelId id, size_t bytes) override;
  void Close() override;
  bool IsClosedByClient() const override { return client_leaves_ && streams_.empty(); }
  bool CanHalfClose() const override { return true; }

 private:
  struct Stream {
    bool client_ended = false;
    bool we_ended = false;
    int64_t window = spdy::kInitialWindow;  // what we may send
    size_t unacknowledged = 0;
  };

  SpdyChannels(Output& output, ChannelUser& user, size_t max_streams)
      : output_(output), user_(user), max_streams_(max_streams) {}

  Result<> OnControl(const spdy::ControlFrame& frame) override;
  Result<> OnData(uint32_t id, std::string_view piece, bool fin) override;
  Result<> OnSynStream(const spdy::ControlFrame& frame);
  Result<> OnHeaders(const spdy::ControlFrame& frame);
  Result<> OnRstStream(const spdy::ControlFrame& frame);
  Result<> OnSettings(const spdy::ControlFrame& frame);
  Result<> OnPing(const spdy::ControlFrame& frame);
  Result<> OnGoAway(const spdy::ControlFrame& frame);
  Result<> OnWindowUpdate(const spdy::ControlFrame& frame);
  void ClientEnded(ChannelId id);
  void Refuse(ChannelId id, spdy::RstStatus status);
  void Acknowledge(uint32_t id, size_t& unacknowledged, size_t bytes);
  Stream* Find(ChannelId id);
  void DropIfDone(ChannelId id);

  Output& output_;
  ChannelUser& user_;
  const size_t max_streams_;
  spdy::FrameReader reader_;
  std::unique_ptr<spdy::HeaderInflater> inflater_;
  std::unique_ptr<spdy::HeaderDeflater> deflater_;
  std::map<ChannelId, Stream> streams_;
  uint32_t last_id_ = 0;
  bool stream_windows_ = false;   // the client takes part in flow control
  bool session_windows_ = false;  // of the connection as a whole too
  int64_t initial_window_ = spdy::kInitialWindow;
  int64_t session_window_ = spdy::kInitialWindow;
  size_t session_unacknowledged_ = 0;
  bool client_leaves_ = false;  // GOAWAY came
  bool closed_ = false;         // GOAWAY went
};

}  // namespace berth::stream
