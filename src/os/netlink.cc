// SPDX-License-Identifier: Apache-2.0
#include "os/netlink.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/strings.h"

namespace berth::os::netlink {

namespace {

struct Progress {
  uint32_t first =
      0;  // sequence number of the first message; older answers are of a call that failed
  int acks = 0;
  bool done = false;
  bool interrupted = false;
  int refused = 0;  // first errno
};

void TakeDatagram(std::string_view bytes, Progress& progress, const OnAnswer& on_answer) {
  nlmsghdr header{};
  while (ReadFixed(bytes, header)) {
    if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > bytes.size()) return;
    const std::string_view payload =
        bytes.substr(sizeof(header), header.nlmsg_len - sizeof(header));
    bytes.remove_prefix(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), bytes.size()));
    if (header.nlmsg_seq < progress.first) continue;
    if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) progress.interrupted = true;
    if (header.nlmsg_type == NLMSG_ERROR) {
      int error = 0;
      ReadFixed(payload, error);
      if (error != 0 && progress.refused == 0) progress.refused = -error;
      ++progress.acks;
    } else if (header.nlmsg_type == NLMSG_DONE) {
      // A dump that could not even begin says so here.
      int error = 0;
      if (ReadFixed(payload, error) && error < 0 && progress.refused == 0)
        progress.refused = -error;
      progress.done = true;
    } else if (on_answer) {
      on_answer(header.nlmsg_type, payload);
    }
  }
}

// netlink(7) sends a request as one datagram: EMSGSIZE when the send buffer is smaller, which a batch of rules for 200 host
// ports is. SO_SNDBUFFORCE asks for CAP_NET_ADMIN over the first user namespace; without it wmem_max is the limit.
Result<> MakeRoom(int socket, size_t size) {
  if (size > kMaxRequest)
    return Error(Code::kResourceExhausted,
                 StrCat("netlink request of ", size, " bytes: more than ", kMaxRequest));
  int room = 0;  // what is asked for is doubled by the kernel: socket(7)
  socklen_t length = sizeof(room);
  if (::getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &room, &length) != 0)
    return ErrnoError("netlink socket: send buffer");
  const auto wanted = static_cast<int>(size);
  if (room >= 2 * wanted) return Ok();
  if (::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) == 0) return Ok();
  if (::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted)) != 0)
    return ErrnoError("netlink socket: send buffer");
  return Ok();
}

// Numbers every message of the request; returns the number after the last.
uint32_t NumberMessages(std::string& request, uint32_t sequence) {
  size_t at = 0;
  nlmsghdr header{};
  while (ReadFixed(std::string_view(request).substr(std::min(at, request.size())), header)) {
    header.nlmsg_seq = sequence++;
    std::memcpy(request.data() + at, &header, sizeof(header));
    if (header.nlmsg_len < sizeof(header)) break;
    at += NLMSG_ALIGN(header.nlmsg_len);
  }
  return sequence;
}

}  // namespace

bool Patience::Wait() {
  constexpr std::chrono::seconds kWhole{5};
  constexpr std::chrono::milliseconds kLongest{50};
  if (std::chrono::steady_clock::now() - began_ > kWhole) return false;
  std::this_thread::sleep_for(pause_);
  pause_ = std::min(2 * pause_, kLongest);
  return true;
}

Message::Message(uint16_t type, uint16_t flags, uint32_t sequence) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  header.nlmsg_seq = sequence;
  Fixed(header);
}

void Message::Append(std::string_view bytes) {
  bytes_ += bytes;
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

void Message::Attribute(uint16_t type, std::string_view value) {
  nlattr attribute{};
  attribute.nla_type = type;
  attribute.nla_len = static_cast<uint16_t>(sizeof(attribute) + value.size());
  Fixed(attribute);
  Append(value);
}

void Message::Text(uint16_t type, std::string_view text) {
  std::string value(text);
  value.push_back('\0');
  Attribute(type, value);
}

size_t Message::Begin(uint16_t type) {
  const size_t nest = bytes_.size();
  Attribute(static_cast<uint16_t>(type | NLA_F_NESTED), {});
  return nest;
}

void Message::End(size_t nest) {
  const auto length = static_cast<uint16_t>(bytes_.size() - nest);
  std::memcpy(bytes_.data() + nest, &length, sizeof(length));  // nla_len is the first member
}

std::string Message::Finish() && {
  const auto length = static_cast<uint32_t>(bytes_.size());
  std::memcpy(bytes_.data(), &length, sizeof(length));  // nlmsg_len is the first member
  return std::move(bytes_);
}

Result<Socket> Socket::Open(int protocol) {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.valid()) return ErrnoError("netlink socket");
  // The kernel answers at once; the limit only keeps a lost answer from blocking for ever.
  const timeval limit{10, 0};
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0)
    return ErrnoError("netlink socket: receive timeout");
  return Socket(std::move(fd));
}

Result<> Socket::Exchange(std::string request, int acks, const OnAnswer& on_answer) {
  TRY(MakeRoom(fd_.get(), request.size()));
  Progress progress;
  progress.first = next_;
  next_ = NumberMessages(request, next_);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(fd_.get(), request.data(), request.size(), 0,
               reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel)) < 0)
    return ErrnoError(StrCat("netlink request of ", request.size(), " bytes"));
  std::string buffer(64U << 10, '\0');  // dumps come in pieces of at most 32 KiB
  while (!progress.done && progress.refused == 0 && (acks == 0 || progress.acks < acks)) {
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError("netlink answer");
    TakeDatagram(std::string_view(buffer).substr(0, static_cast<size_t>(n)), progress, on_answer);
  }
  if (progress.refused != 0) return ErrnoError("netlink", progress.refused);
  if (progress.interrupted) return Error(Code::kAborted, "netlink dump changed while it was read");
  return Ok();
}

Result<> Socket::Dump(const std::string& request, const std::function<void()>& clear,
                      const OnAnswer& on_answer) {
  for (Patience patience;;) {
    clear();
    Result<> done = Exchange(request, 0, on_answer);
    if (done || done.error().code() != Code::kAborted) return done;
    if (!patience.Wait()) return std::move(done.error()).WithCode(Code::kUnavailable);
  }
}

Result<> Exchange(int protocol, std::string request, int acks, const OnAnswer& on_answer) {
  Socket socket = TRY(Socket::Open(protocol));
  return socket.Exchange(std::move(request), acks, on_answer);
}

void ForEachAttribute(std::string_view bytes,
                      const std::function<void(uint16_t, std::string_view)>& each) {
  nlattr attribute{};
  while (ReadFixed(bytes, attribute)) {
    if (attribute.nla_len < sizeof(attribute) || attribute.nla_len > bytes.size()) return;
    each(attribute.nla_type & NLA_TYPE_MASK,
         bytes.substr(sizeof(attribute), attribute.nla_len - sizeof(attribute)));
    bytes.remove_prefix(std::min<size_t>(NLA_ALIGN(attribute.nla_len), bytes.size()));
  }
}

std::string_view AfterFixed(std::string_view payload, size_t size) {
  return payload.substr(std::min<size_t>(NLMSG_ALIGN(size), payload.size()));
}

std::string TextOf(std::string_view value) {
  return std::string(value.substr(0, value.find('\0')));
}

}  // namespace berth::os::netlink
