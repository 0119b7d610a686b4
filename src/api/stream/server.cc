// SPDX-License-Identifier: Apache-2.0
#include "api/stream/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "base/strings.h"

namespace berth::stream {

namespace {

constexpr int kBacklog = 128;
// Those above the limit are told so; this many at a time, the rest waits in the backlog.
constexpr size_t kTurnedAtATime = 32;
constexpr auto kRetryAccept = std::chrono::milliseconds(100);

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> ParseAddress(const std::string& text, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
    return address;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  std::memset(v6, 0, sizeof *v6);
  if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
    return address;
  }
  return Error(Code::kInvalidArgument,
               StrCat("stream address ", Quote(text), ": not an IP address"));
}

}  // namespace

Result<os::Fd> Listen(const std::string& address, uint16_t port) {
  const Address parsed = TRY(ParseAddress(address, port));
  const std::string what = StrCat("listen on ", address, " port ", port);
  os::Fd socket(::socket(parsed.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return ErrnoError(what);
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto* name = reinterpret_cast<const sockaddr*>(&parsed.storage);
  if (::bind(socket.get(), name, parsed.size) < 0 || ::listen(socket.get(), kBacklog) < 0)
    return ErrnoError(what);
  return socket;
}

Result<uint16_t> BoundPort(int listener) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&name), &size) < 0)
    return ErrnoError("port of the listener");
  if (name.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&name)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&name)->sin_port);
}

Server::~Server() {
  if (listener_) loop_.Unwatch(listener_.get());
}

Result<> Server::Start(os::Fd listener) {
  listener_ = std::move(listener);
  return loop_.Watch(listener_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); });
}

void Server::OnReadable() {
  os::Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket && connections_.size() < options_.max_connections + kTurnedAtATime)
    return Admit(std::move(socket));
  if (!socket && errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
  // The listener stays readable: look again a little later, instead of spinning.
  loop_.Unwatch(listener_.get());
  retry_timer_.Set(kRetryAccept, [this] {
    if (listener_) (void)loop_.Watch(listener_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); });
  });
}

// Clients that only connect must not shut out the others. True when one was closed.
bool Server::MakeRoom() {
  std::shared_ptr<Connection> oldest;
  size_t expendable = 0;
  for (const auto& [id, connection] : connections_) {
    if (!connection->IsExpendable()) continue;
    if (expendable++ == 0) oldest = connection;
  }
  const bool full = connections_.size() >= options_.max_connections;
  if (!oldest || (!full && expendable < (options_.max_connections + 1) / 2)) return false;
  oldest->Close();
  return true;
}

void Server::Admit(os::Fd socket) {
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  auto transport = make_transport_(std::move(socket));
  if (!transport) return LogWarn(StrCat("stream: ", transport.error().message()));
  const uint64_t id = ++last_id_;
  auto connection = std::make_shared<Connection>(loop_, std::move(*transport), daemon_, dials_,
                                                 options_.timeouts, [this, id] { Drop(id); });
  const bool full = !MakeRoom() && connections_.size() >= options_.max_connections;
  connections_.emplace(id, connection);
  if (auto started = connection->Start(options_.documents); !started) return connection->Close();
  if (full) {
    Refusal refusal{.status = 503, .message = "too many connections", .fields = {}};
    refusal.fields.emplace_back("Retry-After", "1");
    connection->Turn(refusal);
  }
}

void Server::Drop(uint64_t id) {
  // Not inside the connection's own call.
  loop_.Post([this, id] {
    connections_.erase(id);
    if (stopped_ && connections_.empty()) on_idle_();
  });
}

void Server::StopListening() {
  if (std::exchange(stopped_, true)) return;
  retry_timer_.Cancel();
  if (listener_) loop_.Unwatch(listener_.get());
  listener_.Reset();
  if (connections_.empty()) on_idle_();
}

}  // namespace berth::stream
