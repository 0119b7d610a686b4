// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_netlink.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>

#include "os/fd.h"

namespace berth::runtime::netlink {

namespace {

Result<os::Fd> Open(int protocol) {
  os::Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.valid()) return ErrnoError("netlink socket");
  // The kernel answers at once; the limit only keeps a lost answer from blocking for ever.
  const timeval limit{10, 0};
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0)
    return ErrnoError("netlink socket: receive timeout");
  return fd;
}

struct Progress {
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
    bytes.remove_prefix(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), bytes.size()));
  }
}

}  // namespace

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

std::string Message::Finish() && {
  const auto length = static_cast<uint32_t>(bytes_.size());
  std::memcpy(bytes_.data(), &length, sizeof(length));  // nlmsg_len is the first member
  return std::move(bytes_);
}

Result<> Exchange(int protocol, const std::string& request, int acks, const OnAnswer& on_answer) {
  const os::Fd fd = TRY(Open(protocol));
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(fd.get(), request.data(), request.size(), 0,
               reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel)) < 0)
    return ErrnoError("netlink request");
  Progress progress;
  std::string buffer(64U << 10, '\0');  // dumps come in pieces of at most 32 KiB
  while (!progress.done && progress.refused == 0 && (acks == 0 || progress.acks < acks)) {
    const ssize_t n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError("netlink answer");
    TakeDatagram(std::string_view(buffer).substr(0, static_cast<size_t>(n)), progress, on_answer);
  }
  if (progress.refused != 0) return ErrnoError("netlink", progress.refused);
  if (progress.interrupted) return Error(Code::kAborted, "netlink dump changed while it was read");
  return Ok();
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

}  // namespace berth::runtime::netlink
