// SPDX-License-Identifier: Apache-2.0
#include "api/stream/forward_session.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::stream {

namespace {

std::string_view HeaderOf(const ChannelHeaders& headers, std::string_view name) {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

Result<uint16_t> PortOf(const ChannelHeaders& headers) {
  return static_cast<uint16_t>(TRY(ParseInt(HeaderOf(headers, "port"), 1, UINT16_MAX, "port")));
}

// A client that gives no request id opens the error stream and then the data stream: their ids follow each other.
std::string RequestOf(ChannelId id, const ChannelHeaders& headers) {
  const std::string_view request = HeaderOf(headers, "requestid");
  if (!request.empty()) return StrCat("r", request);
  return StrCat("s", HeaderOf(headers, "streamtype") == "data" ? id - 2 : id);
}

}  // namespace

bool ForwardSession::Wants(const ChannelHeaders& headers) const {
  const std::string_view type = HeaderOf(headers, "streamtype");
  if (!PortOf(headers) || (type != "data" && type != "error")) return false;
  const auto found = waiting_.find(StrCat("r", HeaderOf(headers, "requestid")));
  if (found == waiting_.end()) return true;
  const Pair& pair = *found->second;
  return !(type == "data" ? pair.data : pair.error) && pair.port == *PortOf(headers);
}

void ForwardSession::OnOpen(ChannelId id, const ChannelHeaders& headers) {
  const auto port = PortOf(headers);
  const auto pair = FindOrMake(RequestOf(id, headers), port.value_or(0));
  (HeaderOf(headers, "streamtype") == "data" ? pair->data : pair->error) = id;
  by_channel_[id] = pair;
  if (!pair->data || !pair->error) return;
  waiting_.erase(pair->request);
  pair->timer.Cancel();
  pair->dialing = true;
  if (state_ == State::kNew) return Begin();
  if (state_ == State::kRunning) Dial(pair);
}

std::shared_ptr<ForwardSession::Pair> ForwardSession::FindOrMake(const std::string& request,
                                                                 uint16_t port) {
  auto& pair = waiting_[request];
  if (pair) return pair;
  pair = std::make_shared<Pair>(host_.loop());
  pair->request = request;
  pair->port = port;
  pair->timer.Set(options_.creation_timeout, [this, weak = std::weak_ptr<Pair>(pair)] {
    if (auto late = weak.lock())
      Refuse(late, Error(Code::kDeadlineExceeded, "the other stream of the pair did not come"));
  });
  return pair;
}

std::shared_ptr<ForwardSession::Pair> ForwardSession::Find(ChannelId id) const {
  const auto found = by_channel_.find(id);
  return found == by_channel_.end() ? nullptr : found->second;
}

void ForwardSession::OnData(ChannelId id, std::string_view bytes) {
  const auto pair = Find(id);
  if (!pair || pair->data != id || pair->over) return host_.channels().Consumed(id, bytes.size());
  if (pair->sink) return pair->sink->Push(bytes);
  pair->early.Append(bytes);
}

void ForwardSession::OnEnd(ChannelId id) {
  const auto pair = Find(id);
  if (!pair || pair->data != id) return;
  pair->client_ended = true;
  if (!pair->sink) return;
  pair->sink->End();
  MaybeEnd(pair);
}

void ForwardSession::OnReset(ChannelId id) {
  const auto pair = Find(id);
  if (!pair) return;
  if (pair->data == id) return Drop(pair);
  // Nobody reads errors; the connection goes on.
  pair->error.reset();
  by_channel_.erase(id);
  if (!pair->data) Drop(pair);
}

void ForwardSession::OnLastOpened() {
  last_opened_ = true;
  if (by_channel_.empty()) host_.Finish();
}

void ForwardSession::OnRoom() {
  // The map may change: a pair that goes on reading may end.
  std::vector<std::shared_ptr<Pair>> pairs;
  for (const auto& [id, pair] : by_channel_)
    if (pair->data == id) pairs.push_back(pair);
  for (const auto& pair : pairs)
    if (pair->source && !pair->over) pair->source->Resume();
}

size_t ForwardSession::Held() const {
  size_t most = 0;
  for (const auto& [id, pair] : by_channel_)
    most = std::max(most, pair->early.size() + (pair->sink ? pair->sink->held() : 0));
  return most;
}

void ForwardSession::Stop() {
  state_ = State::kStopped;
  for (const auto& [id, pair] : by_channel_) {
    pair->over = true;
    pair->timer.Cancel();
    if (pair->source) pair->source->Stop();
    if (pair->sink) pair->sink->Stop();
    if (std::exchange(pair->counted, false)) host_.dials().Give();
  }
  // Destroyed later: this may be a call of its own.
  host_.loop().Post([dialer = std::shared_ptr<Dialer>(std::move(dialer_))] {});
}

void ForwardSession::Begin() {
  state_ = State::kBeginning;
  host_.Begin([this](Result<BegunSession> answer) { OnBegun(std::move(answer)); });
}

void ForwardSession::OnBegun(Result<BegunSession> answer) {
  if (state_ != State::kBeginning) return;
  state_ = State::kRunning;
  auto dialer = [&]() -> Result<std::unique_ptr<Dialer>> {
    BegunSession session = TRY(std::move(answer));
    if (!session.begun.has_dialer) return Error(Code::kInternal, "berthd sent no dialer");
    return Dialer::Make(host_.loop(), std::move(session.fds.back()));
  }();
  if (dialer) {
    dialer_ = std::move(*dialer);
  } else {
    broken_ = std::move(dialer.error());
  }
  std::vector<std::shared_ptr<Pair>> pairs;
  for (const auto& [id, pair] : by_channel_)
    if (pair->dialing && pair->data == id) pairs.push_back(pair);
  for (const auto& pair : pairs) Dial(pair);
}

void ForwardSession::Dial(const std::shared_ptr<Pair>& pair) {
  if (broken_) return Refuse(pair, *broken_);
  pair->counted = host_.dials().Take();
  if (!pair->counted)
    return Refuse(pair, Error(Code::kResourceExhausted, "too many forwarded connections"));
  pair->dial = dialer_->Dial(pair->port, [this, pair](Result<os::Fd> socket) {
    if (state_ == State::kRunning && !pair->over) OnDialed(pair, std::move(socket));
  });
}

void ForwardSession::OnDialed(const std::shared_ptr<Pair>& pair, Result<os::Fd> socket) {
  pair->dialing = false;
  if (!socket) return Refuse(pair, socket.error());
  if (auto copied = Copy(pair, std::move(*socket)); !copied) Refuse(pair, copied.error());
}

Result<> ForwardSession::Copy(const std::shared_ptr<Pair>& pair, os::Fd socket) {
  // A copy for each direction: one fd can be watched once only.
  os::Fd reading = TRY(socket.Duplicate());
  const std::weak_ptr<Pair> weak = pair;
  auto moved = [this, weak] {
    if (auto self = weak.lock()) MaybeEnd(self);
  };
  pair->sink = std::make_unique<FdSink>(host_.loop(), std::move(socket), host_.channels(),
                                        *pair->data, AtEnd::kShutdown);
  pair->source = std::make_unique<FdSource>(host_.loop(), std::move(reading), host_.channels(),
                                            *pair->data, [this, weak] {
                                              auto self = weak.lock();
                                              if (!self) return;
                                              host_.channels().End(*self->data);
                                              MaybeEnd(self);
                                            });
  TRY(pair->source->Start());
  TRY(pair->sink->Start(moved));
  const std::string early(pair->early.View());
  pair->early.Clear();
  pair->sink->Push(early);
  if (pair->client_ended) pair->sink->End();
  return Ok();
}

void ForwardSession::MaybeEnd(const std::shared_ptr<Pair>& pair) {
  if (pair->over || !pair->source || !pair->sink) return;
  // Without half-close the client cannot end its direction: the pod's end is the end.
  const bool client_ended = pair->sink->done() || !host_.channels().CanHalfClose();
  if (pair->source->ended() && client_ended) Drop(pair);
}

void ForwardSession::Refuse(const std::shared_ptr<Pair>& pair, const Error& error) {
  if (pair->error) host_.channels().Send(*pair->error, error.message());
  Drop(pair);
}

void ForwardSession::Drop(const std::shared_ptr<Pair>& pair) {
  if (std::exchange(pair->over, true)) return;
  Channels& channels = host_.channels();
  pair->timer.Cancel();
  if (pair->dial != 0 && dialer_) dialer_->Cancel(pair->dial);
  const bool complete = pair->source && pair->source->ended() && pair->client_ended;
  if (pair->source) pair->source->Stop();
  if (pair->sink) pair->sink->Stop();
  if (std::exchange(pair->counted, false)) host_.dials().Give();
  if (pair->data && !pair->early.empty()) channels.Consumed(*pair->data, pair->early.size());
  pair->early.Clear();
  if (pair->error) channels.End(*pair->error);
  // Reset when not all was copied: the client shall not take it for a good end.
  if (pair->data && complete) channels.End(*pair->data);
  if (pair->data && !complete) channels.Reset(*pair->data);
  if (const auto found = waiting_.find(pair->request);
      found != waiting_.end() && found->second == pair)
    waiting_.erase(found);
  for (const auto& id : {pair->data, pair->error})
    if (id) by_channel_.erase(*id);
  // Destroyed later: this may be a call of its own parts.
  host_.loop().Post([pair] {});
  if ((options_.fixed || last_opened_) && by_channel_.empty()) host_.Finish();
}

}  // namespace berth::stream
