// SPDX-License-Identifier: Apache-2.0
// One request to the kernel over netlink(7) and its answers, and reading their attributes. Internal
// to cni_links.cc. A socket per call, nothing kept; any thread.
#pragma once

#include <linux/netlink.h>

#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::runtime::netlink {

// Builds messages: a header, a fixed part, attributes; each aligned to 4 bytes.
class Message {
 public:
  Message(uint16_t type, uint16_t flags, uint32_t sequence);
  template <class T>
  void Fixed(const T& part) {
    Append({reinterpret_cast<const char*>(&part), sizeof(part)});
  }
  void Attribute(uint16_t type, std::string_view value);
  std::string Finish() &&;

 private:
  void Append(std::string_view bytes);
  std::string bytes_;
};

// Called for each answer with its type and what follows the header.
using OnAnswer = std::function<void(uint16_t type, std::string_view payload)>;

// Sends `request` (one or more messages) and reads until `acks` messages were acknowledged or
// refused or, for a dump, until it is done. The first refusal is the error, with its errno; a dump
// that changed meanwhile is Aborted.
Result<> Exchange(int protocol, const std::string& request, int acks, const OnAnswer& on_answer);

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

}  // namespace berth::runtime::netlink
