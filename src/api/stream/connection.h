// SPDX-License-Identifier: Apache-2.0
// One client: reads the request, redeems its token, switches to a carrier and gives the channels to a session. Owned by
// the Server; the loop's thread.
//
// Of a client that asks for documents: redeeming stands for the question to berthd, and flushing follows.
//
//   head --request--> redeeming --daemon's answer--> serving --session has said all--> flushing --all taken--> lingering
//     |bad, too slow      |refused                      |client gone, broke a rule                                 |
//     +--> refusal: flushing, lingering                 +--> closed                                  client closes |
//                                                                                       its end, or time is over --+
//
// Lingering: after our end of writing the client is read until it closes too, because closing a socket with unread
// bytes would reset it and could take the last words away from the client.
#pragma once

#include <memory>
#include <optional>

#include "api/stream/byte_queue.h"
#include "api/stream/daemon_link.h"
#include "api/stream/session.h"
#include "api/stream/transport.h"
#include "api/stream/upgrade.h"

namespace berth::stream {

class Connection final : public std::enable_shared_from_this<Connection>,
                         private Output,
                         private SessionHost {
 public:
  // `on_closed` once, when nothing of it is open any more; the owner drops it later, not inside the call.
  Connection(os::EventLoop& loop, std::unique_ptr<Transport> transport, DaemonLink& daemon,
             DialBudget& dials, const Timeouts& timeouts, std::function<void()> on_closed);
  ~Connection() override;

  // `documents`: a GET is answered with what berthd says of its path, and no session comes of it.
  Result<> Start(bool documents = false);
  // Answers at once, without reading a request.
  void Turn(const Refusal& refusal);
  void Close();
  // No request that was taken up: still without its head, or refused and on its way out.
  bool IsExpendable() const;

 private:
  enum class State { kHead, kRedeeming, kServing, kFlushing, kLingering, kClosed };

  // Output
  void Write(std::string_view head, std::string_view body) override;
  size_t Room() const override;
  void OnConsumed() override;
  // SessionHost
  os::EventLoop& loop() override { return loop_; }
  Channels& channels() override { return *channels_; }
  DialBudget& dials() override { return dials_; }
  void Begin(std::function<void(Result<BegunSession>)> answer) override;
  void Finish() override;
  void Fail(Error error) override;

  void OnEvent(uint32_t events);
  void ReadSome();
  bool MayRead() const;
  void OnBytes(std::string_view bytes);
  void OnHeadBytes(std::string_view bytes);
  void AskDocument(const HttpHead& head);
  void Redeem(Upgrade upgrade);
  void OnRedeemed(Upgrade upgrade, Result<Redeemed> answer);
  Result<> Serve(const Upgrade& upgrade, const Redeemed& redeemed);
  void Feed(std::string_view bytes);
  void Abandon();
  void OnEnd();
  void FlushOutput();
  void Rearm();
  void StartFlushing();
  void WatchIdle();

  os::EventLoop& loop_;
  std::unique_ptr<Transport> transport_;
  DaemonLink& daemon_;
  DialBudget& dials_;
  const Timeouts timeouts_;
  std::function<void()> on_closed_;
  bool documents_ = false;
  State state_ = State::kHead;
  std::string head_;  // the request, then what came after it
  ByteQueue output_;
  bool output_was_full_ = false;
  bool flush_posted_ = false;
  bool read_needs_write_ = false;  // inside TLS
  bool write_needs_read_ = false;
  uint32_t interest_ = 0;
  bool active_ = false;  // bytes went since the idle timer looked
  Timer state_timer_;
  Timer idle_timer_;
  std::optional<uint64_t> redeemed_;  // session that was not begun
  // In this order: the channels refer to the session.
  std::unique_ptr<Session> session_;
  std::unique_ptr<Channels> channels_;
};

}  // namespace berth::stream
