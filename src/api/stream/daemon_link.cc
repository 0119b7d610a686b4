// SPDX-License-Identifier: Apache-2.0
#include "api/stream/daemon_link.h"

#include <utility>

#include "base/strings.h"

namespace berth::stream {

namespace {

Error Gone() { return Error(Code::kUnavailable, "berthd has gone away"); }

}  // namespace

Result<std::unique_ptr<DaemonLink>> DaemonLink::Make(
    os::EventLoop& loop, os::Fd socket, std::function<void()> on_end,
    std::function<void(std::vector<os::Fd>)> on_tls) {
  std::unique_ptr<DaemonLink> link(new DaemonLink(loop, std::move(socket)));
  link->on_end_ = std::move(on_end);
  link->on_tls_ = std::move(on_tls);
  TRY(os::SetNonBlocking(link->socket_.get(), true));
  DaemonLink* self = link.get();
  TRY(loop.Watch(self->socket_.get(), EPOLLIN, [self](uint32_t events) {
    if ((events & EPOLLOUT) != 0) self->Flush();
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) self->OnReadable();
  }));
  return link;
}

DaemonLink::~DaemonLink() {
  if (socket_) loop_.Unwatch(socket_.get());
}

void DaemonLink::Ask(uint64_t id, std::string packet, Answer answer) {
  if (ended()) {
    // Later: whoever asks does not expect the answer inside the question.
    loop_.Post([answer = std::move(answer)] { answer(Gone()); });
    return;
  }
  waiting_.emplace(id, std::move(answer));
  Send(std::move(packet));
}

void DaemonLink::Send(std::string packet) {
  if (ended()) return;
  unsent_.push_back(std::move(packet));
  Flush();
}

void DaemonLink::Flush() {
  while (!ended() && !unsent_.empty()) {
    auto sent = os::SendMessage(socket_.get(), unsent_.front());
    // Any other error is berthd's end, which is read.
    if (!sent && sent.error().sys_errno() == EAGAIN) break;
    unsent_.pop_front();
  }
  if (!ended()) (void)loop_.Rewatch(socket_.get(), unsent_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void DaemonLink::OnReadable() {
  if (ended()) return;
  auto message = os::ReceiveMessage(socket_.get(), kMaxPacket, kMaxFds);
  if (!message && message.error().sys_errno() == EAGAIN) return;
  if (!message || message->end) return End();
  if (!OnPacket(std::move(*message))) End();
}

Result<> DaemonLink::OnPacket(os::Message message) {
  wire::Reader reader(message.bytes);
  const Header header = TRY(DecodeHeader(reader));
  if (header.type == Type::kTls && header.id == 0) {
    on_tls_(std::move(message.fds));
    return Ok();
  }
  const auto found = waiting_.find(header.id);
  if (header.type != Type::kReply || found == waiting_.end())
    return Error(Code::kInvalidArgument, "unexpected packet");
  const Answer answer = std::move(found->second);
  waiting_.erase(found);
  auto status = DecodeReplyStatus(reader);
  if (!status) {
    answer(std::move(status.error()));
    return Ok();
  }
  answer(DaemonAnswer{std::move(message.bytes), std::move(message.fds)});
  return Ok();
}

void DaemonLink::End() {
  if (ended()) return;
  loop_.Unwatch(socket_.get());
  socket_.Reset();
  unsent_.clear();
  for (auto& [id, answer] : std::exchange(waiting_, {})) answer(Gone());
  on_end_();
}

}  // namespace berth::stream
