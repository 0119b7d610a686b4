// SPDX-License-Identifier: Apache-2.0
// Internet addresses and prefixes as CNI configurations write them, and counting with them. Values; pure functions; any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cni {

struct IpAddress {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};  // in network order; IPv4 has the first four

  int bits() const { return v6 ? 128 : 32; }
  std::string_view Bytes() const {
    return {reinterpret_cast<const char*>(bytes.data()), v6 ? size_t{16} : size_t{4}};
  }
  bool IsUnspecified() const { return *this == IpAddress{v6, {}}; }
  bool IsLoopback() const;
  std::strong_ordering operator<=>(const IpAddress&) const = default;
};

// An address and the length of its network's prefix; the host's bits may be set.
struct IpPrefix {
  IpAddress address;
  int length = 0;
  bool operator==(const IpPrefix&) const = default;
};

// "10.1.0.5", "fd00::5". An IPv4-mapped IPv6 address is the IPv4 address. InvalidArgument otherwise.
Result<IpAddress> ParseIp(std::string_view text);
// "10.1.0.5/16".
Result<IpPrefix> ParsePrefix(std::string_view text);
std::string Format(const IpAddress& address);
std::string Format(const IpPrefix& prefix);

IpAddress Next(const IpAddress& address);  // after the last comes 0
// Host bits cleared, or set.
IpAddress Network(const IpPrefix& prefix);
IpAddress Broadcast(const IpPrefix& prefix);
// Of the same family and in the prefix's network.
bool Contains(const IpPrefix& prefix, const IpAddress& address);

// "0a:58:0a:01:00:05"; ParseMac takes six pairs of hexadecimal digits with ':' or '-'.
std::string FormatMac(std::string_view bytes);
Result<std::string> ParseMac(std::string_view text);

}  // namespace berth::cni
