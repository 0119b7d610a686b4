// SPDX-License-Identifier: Apache-2.0
// What berthd and berth-stream say to each other: one message per packet of a SOCK_SEQPACKET pair that berthd makes
// when it starts berth-stream. Plain values with an encoder and a decoder each; any thread.
//
//   berth-stream --address=IP --port=N (0: any) --uid=N --gid=N [--tls] [--creation-timeout=SECONDS]
//                [--idle-timeout=SECONDS]     started as root, with its end of the pair as fd kDaemonFd
//                [--info]                     and a listening Unix socket as fd kInfoFd: plain GETs, answered by berthd
//
//   packet   u32 type, u64 id, body     base/wire.h; at most kMaxPacket bytes, at most kMaxFds fds
//   request  stream -> daemon, id != 0; answered by one kReply with the same id: u32 code, text message and, if code
//            is 0, the answer
//   notice   id 0, no answer: kReady (stream -> daemon), kTls (daemon -> stream), kReply with an error (stream -> daemon:
//            why it cannot start, and then ends; or why it stays with the TLS files that it has)
//
//   Tls + fds of the files: certificate chain, key, client CA if there is one (PEM, open for reading, at offset 0)
//                                                    first of all if berth-stream was started with --tls, which becomes
//                                                    Ready after it; later: connections to come use the new files
//   Ready                                            once, when the listener stands
//   Redeem{kind, token}  -> Redeemed{session, ...}   the token is used up, whatever comes after
//   Begin{session}       -> Begun{...} + fds         when the client's streams are there; runs the exec, once
//   Abandon{session}     -> (empty)                  they never came
//   NodeInfo{path}       -> Document{json}           a GET on the socket for cAdvisor, see --info
//
// berthd's end closed: berth-stream closes its listener, lets the sessions it has go on, and ends with the last of
// them. A session needs nobody but the monitor that is at the other end of its fds:
//
//   exec, attach   stdin (write end), stdout, stderr (read ends); or the terminal's master, which is read, written and
//                  resized (TIOCSWINSZ). `result` is a SOCK_SEQPACKET end on which the monitor writes one
//                  u32 exit code when the process has ended, and closes it.
//   port-forward   `dialer` is a SOCK_SEQPACKET end: each u32 address family (AF_INET, AF_INET6) sent on it is answered
//                  by u32 errno and, if that is 0, one unconnected TCP socket made in the pod's network namespace, which
//                  berth-stream connects to the loopback address itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/wire.h"

namespace berth::stream {

inline constexpr size_t kMaxPacket = 16U << 10;
inline constexpr size_t kMaxFds = 4;
inline constexpr size_t kMaxPorts = 64;
// Descriptor of berth-stream's end of the pair.
inline constexpr int kDaemonFd = 3;
inline constexpr int kInfoFd = 4;
inline constexpr size_t kMaxDocument = 12U << 10;

enum class Type : uint32_t {
  kReady = 1,
  kRedeem = 2,
  kBegin = 3,
  kAbandon = 4,
  kNodeInfo = 5,
  kTls = 10,
  kReply = 100,
};

enum class Kind : uint8_t { kExec = 0, kAttach = 1, kPortForward = 2 };

struct Header {
  Type type{};
  uint64_t id = 0;
};

struct Ready {
  uint32_t port = 0;  // the one that was bound
  bool tls = false;
};
struct Redeem {
  Kind kind{};
  std::string token;
};
struct Redeemed {
  uint64_t session = 0;
  bool std_in = false;
  bool std_out = false;
  bool std_err = false;
  bool terminal = false;
  // Of port-forward, for clients that open no streams of their own: WebSocket without SPDY inside.
  std::vector<uint32_t> ports;
};
struct NodeInfo {
  std::string path;
};
struct Document {
  std::string json;
};
struct SessionCall {  // Begin, Abandon
  uint64_t session = 0;
};
// The fds that come along, in this order: stdin, stdout, stderr or terminal; result; or dialer alone.
struct Begun {
  bool has_stdin = false;
  bool has_stdout = false;
  bool has_stderr = false;
  bool has_terminal =
      false;  // its master; with attach beside stdout, which then is a copy of what the terminal shows
  bool has_result = false;
  bool has_dialer = false;
};

void Encode(wire::Writer& w, const Ready& m);
void Encode(wire::Writer& w, const Redeem& m);
void Encode(wire::Writer& w, const Redeemed& m);
void Encode(wire::Writer& w, const SessionCall& m);
void Encode(wire::Writer& w, const Begun& m);
void Encode(wire::Writer& w, const NodeInfo& m);
void Encode(wire::Writer& w, const Document& m);
Result<> Decode(wire::Reader& r, Ready& m);
Result<> Decode(wire::Reader& r, Redeem& m);
Result<> Decode(wire::Reader& r, Redeemed& m);
Result<> Decode(wire::Reader& r, SessionCall& m);
Result<> Decode(wire::Reader& r, Begun& m);
Result<> Decode(wire::Reader& r, NodeInfo& m);
Result<> Decode(wire::Reader& r, Document& m);

template <class T>
std::string Packet(Type type, uint64_t id, const T& body) {
  wire::Writer w;
  w.U32(static_cast<uint32_t>(type));
  w.U64(id);
  Encode(w, body);
  return w.Take();
}
std::string Packet(Type type, uint64_t id);
Result<Header> DecodeHeader(wire::Reader& r);

std::string OkReply(uint64_t id);
template <class T>
std::string OkReply(uint64_t id, const T& answer) {
  wire::Writer w;
  Encode(w, answer);
  return OkReply(id) + w.Take();
}
// With id 0: the notice of a failure.
std::string ErrorReply(uint64_t id, const Error& error);
// The start of a reply's body: success, or the error that the daemon sent.
Result<> DecodeReplyStatus(wire::Reader& r);

}  // namespace berth::stream
