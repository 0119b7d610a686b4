// SPDX-License-Identifier: Apache-2.0
#include "monitor/server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "base/strings.h"
#include "os/socket.h"

namespace berth::monitor {

Result<> Server::Open(Loop* loop, os::Fd listener, Events events) {
  loop_ = loop;
  events_ = std::move(events);
  TRY(os::SetNonBlocking(listener.get(), true), "listener");
  return listener_.Open(loop, std::move(listener), EPOLLIN, [this](uint32_t) { Accept(); });
}

// Closed connections are destroyed here and not in their own callbacks.
void Server::Sweep() {
  std::erase_if(connections_, [](const auto& connection) { return !connection->watch.open(); });
}

void Server::Accept() {
  Sweep();
  Result<os::Fd> socket = os::Accept(listener_.fd());
  if (!socket) return;
  Result<os::PeerCredentials> peer = os::GetPeer(socket->get());
  if (!peer || (peer->uid != 0 && peer->uid != ::geteuid())) return;
  if (connections_.size() >= kMaxConnections) return;
  if (!os::SetNonBlocking(socket->get(), true)) return;
  auto connection = std::make_unique<Connection>();
  connection->number = next_++;
  const uint64_t number = connection->number;
  if (!connection->watch.Open(loop_, std::move(*socket), EPOLLIN,
                              [this, number](uint32_t) { Receive(number); }))
    return;
  connections_.push_back(std::move(connection));
}

Server::Connection* Server::Find(uint64_t number) {
  for (auto& connection : connections_)
    if (connection->number == number && connection->watch.open()) return connection.get();
  return nullptr;
}

void Server::Drop(uint64_t number) {
  Connection* connection = Find(number);
  if (connection == nullptr) return;
  connection->watch.Close();
  if (current_ == number) current_ = 0;
  events_.closed(number);
}

void Server::SetCurrent(uint64_t connection) {
  if (current_ == connection) return;
  const uint64_t before = current_;
  current_ = connection;
  Drop(before);
}

Result<> Server::ReceiveOne(Connection& connection, bool& end) {
  // The length first: a buffer for the largest packet would cost memory in every pod.
  char byte;
  const ssize_t size = ::recv(connection.watch.fd(), &byte, 1, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return Ok();
  if (size <= 0) {
    end = true;
    return Ok();
  }
  if (static_cast<size_t>(size) > kMaxPacket)
    return Error(Code::kInvalidArgument, "packet too long");
  os::Message message =
      TRY(os::ReceiveMessage(connection.watch.fd(), static_cast<size_t>(size), kMaxFds));
  wire::Reader reader(message.bytes);
  Request request;
  request.connection = connection.number;
  request.header = TRY(DecodeHeader(reader));
  if (request.header.id == 0) return Error(Code::kInvalidArgument, "request without id");
  request.body = message.bytes.substr(sizeof(uint32_t) + sizeof(uint64_t));
  request.fds = std::move(message.fds);
  return events_.request(std::move(request));
}

void Server::Receive(uint64_t number) {
  Connection* connection = Find(number);
  if (connection == nullptr) return;
  bool end = false;
  Result<> received = ReceiveOne(*connection, end);
  if (!received) LogWarn(StrCat("connection dropped: ", received.error().message()));
  if (!received || end) Drop(number);
}

void Server::Send(uint64_t number, const std::string& packet, const std::vector<os::Fd>& fds) {
  Connection* connection = Find(number);
  if (connection == nullptr) return;
  std::vector<int> numbers;
  numbers.reserve(fds.size());
  for (const os::Fd& fd : fds) numbers.push_back(fd.get());
  if (!os::SendMessage(connection->watch.fd(), packet, numbers)) Drop(number);
}

}  // namespace berth::monitor
