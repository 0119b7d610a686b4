// SPDX-License-Identifier: Apache-2.0
#include "api/stream/connection.h"

#include <array>
#include <utility>

#include "api/stream/carrier.h"
#include "base/log.h"
#include "base/strings.h"

namespace berth::stream {

namespace {

// Reads of one client before the others have their turn.
constexpr int kReadsInARow = 4;

}  // namespace

Connection::Connection(os::EventLoop& loop, std::unique_ptr<Transport> transport,
                       DaemonLink& daemon, DialBudget& dials, const Timeouts& timeouts,
                       std::function<void()> on_closed)
    : loop_(loop),
      transport_(std::move(transport)),
      daemon_(daemon),
      dials_(dials),
      timeouts_(timeouts),
      on_closed_(std::move(on_closed)),
      state_timer_(loop),
      idle_timer_(loop) {}

Connection::~Connection() {
  if (state_ != State::kClosed) loop_.Unwatch(transport_->fd());
  if (session_) session_->Stop();
}

Result<> Connection::Start(bool documents) {
  documents_ = documents;
  TRY(os::SetNonBlocking(transport_->fd(), true));
  interest_ = EPOLLIN;
  TRY(loop_.Watch(transport_->fd(), interest_, [this](uint32_t events) { OnEvent(events); }));
  state_timer_.Set(timeouts_.head, [this] {
    if (state_ == State::kHead) Turn({.status = 408, .message = "no request", .fields = {}});
  });
  return Ok();
}

void Connection::OnEvent(uint32_t events) {
  // The last words may be written while the socket already says that the client has hung up.
  const bool read_too = (events & EPOLLIN) != 0 || read_needs_write_;
  if ((events & EPOLLOUT) != 0 || write_needs_read_) FlushOutput();
  if (read_too) return ReadSome();
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) Close();
}

bool Connection::MayRead() const {
  switch (state_) {
    case State::kHead:
    case State::kLingering:
    case State::kFlushing:
      return true;
    case State::kServing:
      return session_->Held() < kHeldLimit && output_.size() < 2 * kOutputLimit;
    case State::kRedeeming:
    case State::kClosed:
      return false;
  }
  return false;
}

bool Connection::IsExpendable() const {
  return state_ == State::kHead ||
         ((state_ == State::kFlushing || state_ == State::kLingering) && !session_);
}

void Connection::ReadSome() {
  for (int i = 0; i < kReadsInARow && MayRead(); ++i) {
    std::array<char, kPiece> piece;
    const Io io = transport_->Read(piece.data(), piece.size());
    read_needs_write_ = io.state == Io::State::kWantWrite;
    if (io.state == Io::State::kEnd || io.state == Io::State::kFailed) return OnEnd();
    if (io.state != Io::State::kDone) break;
    active_ = true;
    OnBytes({piece.data(), io.size});
  }
  Rearm();
}

void Connection::OnBytes(std::string_view bytes) {
  if (state_ == State::kHead) return OnHeadBytes(bytes);
  if (state_ == State::kServing) Feed(bytes);
  // Flushing and lingering: nobody listens.
}

void Connection::OnHeadBytes(std::string_view bytes) {
  head_ += bytes;
  auto head = ParseHttpHead(head_);
  if (!head) return Turn({.status = 400, .message = head.error().message(), .fields = {}});
  if (!*head) return;
  head_.erase(0, (*head)->size);
  if (documents_) return AskDocument(**head);
  auto chosen = Negotiate(**head);
  if (auto* refusal = std::get_if<Refusal>(&chosen)) return Turn(*refusal);
  Redeem(std::move(std::get<Upgrade>(chosen)));
}

void Connection::Turn(const Refusal& refusal) {
  Write(RefusalResponse(refusal), {});
  StartFlushing();
}

void Connection::AskDocument(const HttpHead& head) {
  if (head.method != "GET")
    return Turn({.status = 405, .message = "only GET", .fields = {{"Allow", "GET"}}});
  state_ = State::kRedeeming;
  state_timer_.Cancel();
  daemon_.Ask(Type::kNodeInfo, NodeInfo{head.path},
              [weak = weak_from_this()](Result<DaemonAnswer> answer) {
                auto self = weak.lock();
                if (!self || self->state_ != State::kRedeeming) return;
                auto document = [&]() -> Result<Document> {
                  const DaemonAnswer got = TRY(std::move(answer));
                  return got.Read<Document>();
                }();
                if (!document) return self->Turn(RefusalOf(document.error()));
                self->Write(DocumentResponse(document->json), {});
                self->StartFlushing();
              });
}

void Connection::Redeem(Upgrade upgrade) {
  state_ = State::kRedeeming;
  state_timer_.Cancel();
  const stream::Redeem request{upgrade.kind, upgrade.token};
  daemon_.Ask(Type::kRedeem, request,
              [weak = weak_from_this(), &daemon = daemon_,
               upgrade = std::move(upgrade)](Result<DaemonAnswer> answer) {
                auto redeemed = [&]() -> Result<Redeemed> {
                  const DaemonAnswer got = TRY(std::move(answer));
                  return got.Read<Redeemed>();
                }();
                if (auto self = weak.lock(); self && self->state_ == State::kRedeeming)
                  return self->OnRedeemed(upgrade, std::move(redeemed));
                if (redeemed)
                  daemon.Ask(Type::kAbandon, SessionCall{redeemed->session},
                             [](Result<DaemonAnswer>) {});
              });
}

void Connection::OnRedeemed(Upgrade upgrade, Result<Redeemed> answer) {
  if (!answer) return Turn(RefusalOf(answer.error()));
  redeemed_ = answer->session;
  if (!upgrade.ports.empty() && !answer->ports.empty()) upgrade.ports.clear();
  if (upgrade.ports.empty()) upgrade.ports = answer->ports;
  if (auto served = Serve(upgrade, *answer); !served) {
    Abandon();
    Turn(RefusalOf(served.error()));
  }
}

Result<> Connection::Serve(const Upgrade& upgrade, const Redeemed& redeemed) {
  SessionHost& host = *this;
  session_ = TRY(MakeSession(host, upgrade, redeemed, timeouts_));
  channels_ = TRY(MakeChannels(*this, *session_, upgrade, redeemed));
  state_ = State::kServing;
  Write(SwitchingResponse(upgrade), {});
  WatchIdle();
  channels_->Start();
  // What the client sent in advance.
  if (const std::string early = std::exchange(head_, {}); !early.empty()) Feed(early);
  Rearm();
  return Ok();
}

void Connection::Feed(std::string_view bytes) {
  if (state_ != State::kServing) return;
  auto received = channels_->Receive(bytes);
  if (state_ != State::kServing) return;
  if (!received) return Fail(std::move(received.error()));
  if (channels_->IsClosedByClient()) {
    session_->Stop();
    StartFlushing();
  }
}

void Connection::Begin(std::function<void(Result<BegunSession>)> answer) {
  const uint64_t session = *std::exchange(redeemed_, std::nullopt);
  daemon_.Ask(Type::kBegin, SessionCall{session},
              [weak = weak_from_this(), answer = std::move(answer)](Result<DaemonAnswer> got) {
                // Whoever asked is gone: the fds close here, and the monitor at their other end sees it.
                auto self = weak.lock();
                if (!self || self->state_ != State::kServing) return;
                answer([&]() -> Result<BegunSession> {
                  DaemonAnswer reply = TRY(std::move(got));
                  BegunSession begun{TRY(reply.Read<Begun>()), std::move(reply.fds)};
                  const Begun& b = begun.begun;
                  const size_t expected = size_t{b.has_stdin} + b.has_stdout + b.has_stderr +
                                          b.has_terminal + b.has_result + b.has_dialer;
                  if (begun.fds.size() != expected)
                    return Error(Code::kInternal, StrCat("berthd sent ", begun.fds.size(),
                                                         " fds and not ", expected));
                  return begun;
                }());
              });
}

void Connection::Finish() {
  if (state_ != State::kServing) return;
  channels_->Close();
  StartFlushing();
}

void Connection::Fail(Error error) {
  LogDebug(StrCat("stream: ", error.message()));
  if (state_ != State::kServing) return Close();
  channels_->Close();
  session_->Stop();
  Abandon();
  StartFlushing();
}

void Connection::Abandon() {
  if (!redeemed_) return;
  daemon_.Ask(Type::kAbandon, SessionCall{*std::exchange(redeemed_, std::nullopt)},
              [](Result<DaemonAnswer>) {});
}

void Connection::OnEnd() {
  // While flushing the client may still take what is there: it ends by itself or by its timer.
  if (state_ == State::kFlushing && !output_.empty()) {
    FlushOutput();
    if (state_ != State::kFlushing) return;
  }
  Close();
}

void Connection::Write(std::string_view head, std::string_view body) {
  if (state_ == State::kClosed || state_ == State::kLingering) return;
  output_.Append(head);
  output_.Append(body);
  // Once for all that is written in this round.
  if (std::exchange(flush_posted_, true)) return;
  loop_.Post([weak = weak_from_this()] {
    if (auto self = weak.lock()) {
      self->flush_posted_ = false;
      self->FlushOutput();
    }
  });
}

size_t Connection::Room() const {
  return output_.size() >= kOutputLimit ? 0 : kOutputLimit - output_.size();
}

void Connection::OnConsumed() {
  if (state_ != State::kServing || (interest_ & EPOLLIN) != 0 || !MayRead()) return;
  Rearm();
}

void Connection::FlushOutput() {
  while (state_ != State::kClosed && !output_.empty()) {
    const Io io = transport_->Write(output_.View());
    write_needs_read_ = io.state == Io::State::kWantRead;
    if (io.state == Io::State::kFailed || io.state == Io::State::kEnd) return Close();
    if (io.state != Io::State::kDone) break;
    active_ = true;
    output_.Consume(io.size);
    if (state_ == State::kFlushing) StartFlushing();  // its time starts anew
  }
  if (state_ == State::kServing && output_.size() <= kOutputLimit / 2) session_->OnRoom();
  if (state_ == State::kFlushing && output_.empty()) {
    state_ = State::kLingering;
    transport_->EndWriting();
    state_timer_.Set(timeouts_.flush, [this] { Close(); });
  }
  Rearm();
}

void Connection::StartFlushing() {
  state_ = State::kFlushing;
  idle_timer_.Cancel();
  state_timer_.Set(timeouts_.flush, [this] { Close(); });
  if (output_.empty() && !flush_posted_) FlushOutput();
}

void Connection::Rearm() {
  if (state_ == State::kClosed) return;
  uint32_t wanted = 0;
  const bool may_read = MayRead();
  if (may_read) wanted |= EPOLLIN;
  if ((!output_.empty() && !write_needs_read_) || (may_read && read_needs_write_))
    wanted |= EPOLLOUT;
  if (may_read && (interest_ & EPOLLIN) == 0 && transport_->HasPending())
    loop_.Post([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->ReadSome();
    });
  if (wanted == interest_) return;
  interest_ = wanted;
  if (!loop_.Rewatch(transport_->fd(), wanted)) Close();
}

void Connection::WatchIdle() {
  active_ = false;
  idle_timer_.Set(timeouts_.idle, [this] {
    if (active_) return WatchIdle();
    Fail(Error(Code::kDeadlineExceeded, "the connection was idle for too long"));
  });
}

void Connection::Close() {
  if (std::exchange(state_, State::kClosed) == State::kClosed) return;
  loop_.Unwatch(transport_->fd());
  state_timer_.Cancel();
  idle_timer_.Cancel();
  if (session_) session_->Stop();
  output_.Clear();
  Abandon();
  on_closed_();
}

}  // namespace berth::stream
