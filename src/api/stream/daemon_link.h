// SPDX-License-Identifier: Apache-2.0
// berth-stream's end of the socket to berthd (protocol.h): requests with their answers, notices. Owned by the program's
// main object; the loop's thread. An answer's function is called exactly once, from the loop, unless the link is
// destroyed first.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "api/stream/protocol.h"
#include "os/event_loop.h"
#include "os/socket.h"

namespace berth::stream {

struct DaemonAnswer {
  std::string packet;  // a reply of success
  std::vector<os::Fd> fds;

  template <class T>
  Result<T> Read() const {
    wire::Reader reader(packet);
    TRY(DecodeHeader(reader));
    TRY(DecodeReplyStatus(reader));
    T body;
    TRY(Decode(reader, body));
    return body;
  }
};

class DaemonLink {
 public:
  using Answer = std::function<void(Result<DaemonAnswer>)>;
  // `on_end`: berthd has closed its end (or broken the protocol); requests that wait are answered Unavailable before.
  // `on_tls`: the fds of a kTls.
  static Result<std::unique_ptr<DaemonLink>> Make(os::EventLoop& loop, os::Fd socket,
                                                  std::function<void()> on_end,
                                                  std::function<void(std::vector<os::Fd>)> on_tls);
  ~DaemonLink();

  template <class T>
  void Ask(Type type, const T& request, Answer answer) {
    const uint64_t id = ++last_id_;
    Ask(id, Packet(type, id, request), std::move(answer));
  }
  void Notify(std::string packet) { Send(std::move(packet)); }
  bool ended() const { return !socket_; }

 private:
  DaemonLink(os::EventLoop& loop, os::Fd socket) : loop_(loop), socket_(std::move(socket)) {}
  void Ask(uint64_t id, std::string packet, Answer answer);
  void Send(std::string packet);
  void Flush();
  void OnReadable();
  Result<> OnPacket(os::Message message);
  void End();

  os::EventLoop& loop_;
  os::Fd socket_;
  std::function<void()> on_end_;
  std::function<void(std::vector<os::Fd>)> on_tls_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, Answer> waiting_;
  std::deque<std::string> unsent_;  // at most a few for each connection
};

}  // namespace berth::stream
