// SPDX-License-Identifier: Apache-2.0
// Port-forward: pairs of a data and an error channel, each pair one connection to a port inside the pod. Owned by
// Connection; the loop's thread.
//
//   pair: waiting --data and error there--> dialing --connected--> copying --both directions ended--> gone
//            |creation timeout                 |failed                 |client resets data
//            +--> text on the error channel <--+                       +--> gone
//
// The error channel ends without a byte when all went well.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "api/stream/byte_queue.h"
#include "api/stream/dialer.h"
#include "api/stream/session.h"

namespace berth::stream {

struct ForwardOptions {
  std::chrono::nanoseconds creation_timeout{};
  // The pairs that are opened at the start are all: the connection ends with the last of them.
  bool fixed = false;
};

class ForwardSession final : public Session {
 public:
  ForwardSession(SessionHost& host, ForwardOptions options) : host_(host), options_(options) {}

  bool Wants(const ChannelHeaders& headers) const override;
  void OnOpen(ChannelId id, const ChannelHeaders& headers) override;
  void OnData(ChannelId id, std::string_view bytes) override;
  void OnEnd(ChannelId id) override;
  void OnReset(ChannelId id) override;
  void OnLastOpened() override;
  void OnRoom() override;
  void Stop() override;
  size_t Held() const override;

 private:
  struct Pair {
    explicit Pair(os::EventLoop& loop) : timer(loop) {}
    std::string request;
    uint16_t port = 0;
    std::optional<ChannelId> data;
    std::optional<ChannelId> error;
    bool dialing = false;
    bool counted = false;  // in the budget
    uint64_t dial = 0;
    Timer timer;
    ByteQueue early;  // came before the connection was there
    bool client_ended = false;
    bool over = false;
    std::unique_ptr<FdSource> source;
    std::unique_ptr<FdSink> sink;
  };
  enum class State { kNew, kBeginning, kRunning, kStopped };

  std::shared_ptr<Pair> Find(ChannelId id) const;
  std::shared_ptr<Pair> FindOrMake(const std::string& request, uint16_t port);
  void Begin();
  void OnBegun(Result<BegunSession> answer);
  void Dial(const std::shared_ptr<Pair>& pair);
  void OnDialed(const std::shared_ptr<Pair>& pair, Result<os::Fd> socket);
  Result<> Copy(const std::shared_ptr<Pair>& pair, os::Fd socket);
  void MaybeEnd(const std::shared_ptr<Pair>& pair);
  void Refuse(const std::shared_ptr<Pair>& pair, const Error& error);
  void Drop(const std::shared_ptr<Pair>& pair);

  SessionHost& host_;
  const ForwardOptions options_;
  State state_ = State::kNew;
  std::unique_ptr<Dialer> dialer_;
  std::optional<Error> broken_;  // no dialer will come
  // A pair stands under each of its channels; the one that waits for the other also under its request.
  std::map<ChannelId, std::shared_ptr<Pair>> by_channel_;
  std::map<std::string, std::shared_ptr<Pair>> waiting_;
  bool last_opened_ = false;
};

}  // namespace berth::stream
