// SPDX-License-Identifier: Apache-2.0
// netlink(7): building messages, sending them to the kernel and reading its answers. A Socket belongs to one object and one
// thread, and to the network namespace in which it was opened, wherever its thread goes later.
#pragma once

#include <linux/netlink.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/fd.h"

namespace berth::os::netlink {

// The most bytes that one request may have; ResourceExhausted beyond.
inline constexpr size_t kMaxRequest = size_t{8} << 20;

// Builds a message: a header, a fixed part, attributes; each aligned to 4 bytes.
class Message {
 public:
  // NLM_F_REQUEST is added to `flags`. Socket gives its own sequence numbers.
  Message(uint16_t type, uint16_t flags, uint32_t sequence = 0);
  template <class T>
  void Fixed(const T& part) {
    Append({reinterpret_cast<const char*>(&part), sizeof(part)});
  }
  void Attribute(uint16_t type, std::string_view value);
  // The text and the NUL that the kernel's strings end with.
  void Text(uint16_t type, std::string_view text);
  // A number in the host's byte order.
  template <class T>
  void Number(uint16_t type, T value) {
    Attribute(type, {reinterpret_cast<const char*>(&value), sizeof(value)});
  }
  // Attributes put between Begin and End are inside `type`. End takes what Begin gave.
  size_t Begin(uint16_t type);
  void End(size_t nest);
  std::string Finish() &&;

 private:
  void Append(std::string_view bytes);
  std::string bytes_;
};

// How long what others keep changing is tried again: pauses of 1 ms, each twice as long, at most 50 ms, for 5 s in all.
class Patience {
 public:
  // Sleeps before the next try; false at once when the time is over.
  bool Wait();

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::chrono::milliseconds pause_{1};
};

// Called for each answer with its type and what follows the header.
using OnAnswer = std::function<void(uint16_t type, std::string_view payload)>;

class Socket {
 public:
  // `protocol` is NETLINK_ROUTE, NETLINK_NETFILTER ...
  static Result<Socket> Open(int protocol);

  // Sends `request` (one or more messages) and reads until `acks` messages were acknowledged or
  // refused or, for a dump (acks = 0), until it is done. The first refusal is the error, with its errno; a dump
  // that changed meanwhile is Aborted.
  Result<> Exchange(std::string request, int acks, const OnAnswer& on_answer = {});
  // A dump, asked for again, for as long as Patience lasts, when it changed meanwhile (then Unavailable); `clear` is called
  // before each try.
  Result<> Dump(const std::string& request, const std::function<void()>& clear,
                const OnAnswer& on_answer);

 private:
  explicit Socket(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
  uint32_t next_ = 1;  // sequence number
};

// One exchange over a socket of its own.
Result<> Exchange(int protocol, std::string request, int acks, const OnAnswer& on_answer);

// Calls `each` with type (flags taken off) and value of every attribute; stops at the first that
// does not fit.
void ForEachAttribute(std::string_view bytes,
                      const std::function<void(uint16_t type, std::string_view value)>& each);

// The fixed part at the start of a payload; false when it is too short.
template <class T>
bool ReadFixed(std::string_view payload, T& out) {
  if (payload.size() < sizeof(T)) return false;
  std::memcpy(&out, payload.data(), sizeof(T));
  return true;
}
// What follows a fixed part of `size` bytes.
std::string_view AfterFixed(std::string_view payload, size_t size);
// The kernel's string attributes end with NUL or with the attribute.
std::string TextOf(std::string_view value);

}  // namespace berth::os::netlink
