// SPDX-License-Identifier: Apache-2.0
// Byte channels between a client and a session, whatever carries them: SPDY streams, WebSocket channels, SPDY inside
// WebSocket. Implementations know no sockets: bytes go in by Receive and come out by Output. One owner (Connection), one
// thread; a ChannelUser may call back into Channels from every function of it, but for Wants.
//
//   client ==bytes==> Channels ==OnOpen, OnData, OnEnd, OnReset==> ChannelUser (session)
//   client <==bytes== Output <== Channels <==Send, End, Reset, Close== ChannelUser
//
// Memory: what a client sends is held by the session until it is consumed, and Connection reads on only while little is
// held; what is sent waits in Output, and Room says how much may. So a peer that stalls stalls the other one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::stream {

inline constexpr size_t kOutputLimit = 128U << 10;  // bytes that wait for the client
inline constexpr size_t kHeldLimit = 64U << 10;  // bytes of one channel that wait for the container
inline constexpr size_t kPiece = 32U << 10;      // bytes of one read

using ChannelId = uint32_t;
using ChannelHeaders = std::map<std::string, std::string, std::less<>>;  // names in lower case

class Output {
 public:
  virtual ~Output() = default;
  // Takes all of it, also beyond Room: small things (replies, the last words) need no room.
  virtual void Write(std::string_view head, std::string_view body) = 0;
  virtual size_t Room() const = 0;
  // Bytes of the client went on: it may be read again.
  virtual void OnConsumed() = 0;
};

class ChannelUser {
 public:
  virtual ~ChannelUser() = default;
  // Whether the client may open such a channel. Has no effect.
  virtual bool Wants(const ChannelHeaders& headers) const = 0;
  virtual void OnOpen(ChannelId id, const ChannelHeaders& headers) = 0;
  virtual void OnData(ChannelId id, std::string_view bytes) = 0;
  // The client sends no more on it.
  virtual void OnEnd(ChannelId id) = 0;
  // The client has given it up in both directions; the id is dead.
  virtual void OnReset(ChannelId id) = 0;
  // The client will open no more channels.
  virtual void OnLastOpened() = 0;
  // There is room again on one or all of the channels.
  virtual void OnRoom() = 0;
};

class Channels {
 public:
  virtual ~Channels() = default;
  // Once, before the first Receive: opens the channels that need no request of the client.
  virtual void Start() {}
  // Bytes from the client. After an error (whose reason the client was told in the protocol's own way) the connection
  // must be closed.
  virtual Result<> Receive(std::string_view bytes) = 0;
  // Bytes that Send may be given now. 0 for a dead channel.
  virtual size_t Room(ChannelId id) const = 0;
  // The next three do nothing on a channel that is dead, or after the own End.
  virtual void Send(ChannelId id, std::string_view bytes) = 0;
  virtual void End(ChannelId id) = 0;
  virtual void Reset(ChannelId id) = 0;
  // Bytes of OnData have gone where they belong.
  virtual void Consumed(ChannelId id, size_t bytes) = 0;
  // The last word: all that was sent arrives, nothing more comes.
  virtual void Close() = 0;
  // The client has said its last word and awaits nothing.
  virtual bool IsClosedByClient() const = 0;
  // Whether a side can end its direction of a channel and go on with the other.
  virtual bool CanHalfClose() const = 0;
};

}  // namespace berth::stream
