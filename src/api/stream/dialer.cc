// SPDX-License-Identifier: Apache-2.0
#include "api/stream/dialer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/strings.h"
#include "base/wire.h"
#include "os/socket.h"

namespace berth::stream {

namespace {

constexpr size_t kMaxAnswer = 16;

std::string_view AddressOf(int family) { return family == AF_INET ? "127.0.0.1" : "[::1]"; }

Error Gone() { return Error(Code::kUnavailable, "the pod is gone"); }

int ConnectTo(int socket, int family, uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = IN6ADDR_LOOPBACK_INIT;
  const int rc = family == AF_INET
                     ? ::connect(socket, reinterpret_cast<const sockaddr*>(&v4), sizeof v4)
                     : ::connect(socket, reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  return rc < 0 ? errno : 0;
}

}  // namespace

Result<std::unique_ptr<Dialer>> Dialer::Make(os::EventLoop& loop, os::Fd socket) {
  std::unique_ptr<Dialer> dialer(new Dialer(loop, std::move(socket)));
  TRY(os::SetNonBlocking(dialer->monitor_.get(), true), "dialer");
  Dialer* self = dialer.get();
  TRY(self->monitor_.Set(EPOLLIN, [self](uint32_t) { self->OnReadable(); }), "dialer");
  return dialer;
}

uint64_t Dialer::Dial(uint16_t port, Done done) {
  const uint64_t id = ++last_id_;
  Call& call = calls_[id];
  call.port = port;
  call.done = std::move(done);
  Request(id, AF_INET);
  return id;
}

void Dialer::Cancel(uint64_t id) { calls_.erase(id); }

void Dialer::Request(uint64_t id, int family) {
  calls_[id].family = family;
  wire::Writer writer;
  writer.U32(static_cast<uint32_t>(family));
  auto sent = [&]() -> Result<> {
    if (!monitor_.open()) return Gone();
    auto done = os::SendMessage(monitor_.get(), writer.bytes());
    if (!done && done.error().sys_errno() != EAGAIN) return Gone();
    return done;
  }();
  if (sent) {
    asked_.push_back(id);
    return;
  }
  // Never inside Dial.
  loop_.Post([this, id, alive = std::weak_ptr<int>(alive_),
              error = std::make_shared<Error>(std::move(sent.error()))] {
    if (!alive.expired()) Finish(id, error->Clone());
  });
}

void Dialer::OnReadable() {
  auto message = os::ReceiveMessage(monitor_.get(), kMaxAnswer, 1);
  if (!message && message.error().sys_errno() == EAGAIN) return;
  if (!message || message->end) return End(Gone());
  OnAnswer(std::move(*message));
}

void Dialer::OnAnswer(os::Message message) {
  wire::Reader reader(message.bytes);
  auto err = reader.U32();
  if (!err || !reader.End() || asked_.empty() || (*err == 0) != (message.fds.size() == 1))
    return End(Error(Code::kInternal, "the monitor broke the dialer's protocol"));
  const uint64_t id = asked_.front();
  asked_.pop_front();
  if (calls_.count(id) == 0) return;  // cancelled
  if (*err != 0) return Failed(id, static_cast<int>(*err));
  Connect(id, std::move(message.fds[0]));
}

void Dialer::Connect(uint64_t id, os::Fd socket) {
  Call& call = calls_[id];
  if (auto set = os::SetNonBlocking(socket.get(), true); !set)
    return Failed(id, set.error().sys_errno());
  const int err = ConnectTo(socket.get(), call.family, call.port);
  if (err == 0) return Finish(id, std::move(socket));
  if (err != EINPROGRESS) return Failed(id, err);
  call.connecting = std::make_unique<Watch>(loop_, std::move(socket));
  if (!call.connecting->Set(EPOLLOUT, [this, id](uint32_t) { OnConnected(id); }))
    Failed(id, ENOMEM);
}

void Dialer::OnConnected(uint64_t id) {
  // Unwatched before the fd goes on.
  const std::unique_ptr<Watch> watch = std::move(calls_[id].connecting);
  int err = 0;
  socklen_t size = sizeof err;
  if (::getsockopt(watch->get(), SOL_SOCKET, SO_ERROR, &err, &size) < 0) err = errno;
  if (err != 0) return Failed(id, err);
  Finish(id, watch->Release());
}

void Dialer::Failed(uint64_t id, int err) {
  Call& call = calls_[id];
  call.connecting.reset();
  if (!call.failures.empty()) call.failures += ", ";
  call.failures += ErrnoError(AddressOf(call.family), err).message();
  if (call.family == AF_INET) return Request(id, AF_INET6);
  Finish(id, Error(Code::kUnavailable,
                   StrCat("connect to port ", call.port, " inside the pod: ", call.failures)));
}

void Dialer::Finish(uint64_t id, Result<os::Fd> result) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  const Done done = std::move(found->second.done);
  calls_.erase(found);
  if (result) {
    const int on = 1;
    ::setsockopt(result->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  done(std::move(result));
}

void Dialer::End(const Error& error) {
  monitor_.Close();
  for (uint64_t id : std::exchange(asked_, {})) Finish(id, error.Clone());
}

}  // namespace berth::stream
