// SPDX-License-Identifier: Apache-2.0
#include "api/stream/transport.h"

#include <sys/socket.h>

#include <cerrno>

namespace berth::stream {

namespace {

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(os::Fd socket) : socket_(std::move(socket)) {}

  int fd() const override { return socket_.get(); }
  bool HasPending() const override { return false; }
  void EndWriting() override { ::shutdown(socket_.get(), SHUT_WR); }

  Io Read(char* buffer, size_t size) override {
    ssize_t n;
    do n = ::recv(socket_.get(), buffer, size, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) return {Io::State::kDone, static_cast<size_t>(n)};
    if (n == 0) return {Io::State::kEnd, 0};
    return {errno == EAGAIN ? Io::State::kWantRead : Io::State::kFailed, 0};
  }
  Io Write(std::string_view bytes) override {
    ssize_t n;
    do n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0) return {Io::State::kDone, static_cast<size_t>(n)};
    return {errno == EAGAIN ? Io::State::kWantWrite : Io::State::kFailed, 0};
  }

 private:
  os::Fd socket_;
};

}  // namespace

std::unique_ptr<Transport> MakePlainTransport(os::Fd socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

}  // namespace berth::stream
