// SPDX-License-Identifier: Apache-2.0
#include "cni/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/strings.h"

namespace berth::cni {

namespace {

constexpr size_t kMaxText = 64;
constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// The byte of a mask of `length` bits at `index`.
uint8_t MaskByte(int length, size_t index) {
  const int bits = std::clamp(length - static_cast<int>(index) * 8, 0, 8);
  return static_cast<uint8_t>(0xff00 >> bits);
}

}  // namespace

bool IpAddress::IsLoopback() const {
  if (!v6) return bytes[0] == 127;
  IpAddress one{true, {}};
  one.bytes[15] = 1;
  return *this == one;
}

Result<IpAddress> ParseIp(std::string_view text) {
  IpAddress address;
  const std::string copy(text.substr(0, kMaxText));
  const bool whole = text.size() <= kMaxText && text.find('\0') == std::string_view::npos;
  if (whole && ::inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) return address;
  address = {true, {}};
  if (!whole || ::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) != 1)
    return Error(Code::kInvalidArgument, StrCat("invalid IP address: ", Quote(text, kMaxText)));
  if (std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin())) {
    IpAddress v4;
    std::copy(address.bytes.begin() + 12, address.bytes.end(), v4.bytes.begin());
    return v4;
  }
  return address;
}

Result<IpPrefix> ParsePrefix(std::string_view text) {
  auto bad = [&] {
    return Error(Code::kInvalidArgument, StrCat("invalid CIDR address: ", Quote(text, kMaxText)));
  };
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return bad();
  Result<IpAddress> address = ParseIp(text.substr(0, slash));
  if (!address) return bad();
  Result<int64_t> length = ParseInt(text.substr(slash + 1), 0, address->bits(), "prefix length");
  if (!length) return bad();
  return IpPrefix{*address, static_cast<int>(*length)};
}

std::string Format(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.bytes.data(), text, sizeof(text));
  return text;
}

std::string Format(const IpPrefix& prefix) {
  return StrCat(Format(prefix.address), "/", prefix.length);
}

IpAddress Next(const IpAddress& address) {
  IpAddress next = address;
  for (size_t i = next.Bytes().size(); i-- > 0;) {
    if (++next.bytes[i] != 0) break;
  }
  return next;
}

IpAddress Network(const IpPrefix& prefix) {
  IpAddress out = prefix.address;
  for (size_t i = 0; i < out.Bytes().size(); ++i) out.bytes[i] &= MaskByte(prefix.length, i);
  return out;
}

IpAddress Broadcast(const IpPrefix& prefix) {
  IpAddress out = prefix.address;
  for (size_t i = 0; i < out.Bytes().size(); ++i)
    out.bytes[i] =
        static_cast<uint8_t>(out.bytes[i] | static_cast<uint8_t>(~MaskByte(prefix.length, i)));
  return out;
}

bool Contains(const IpPrefix& prefix, const IpAddress& address) {
  return address.v6 == prefix.address.v6 && Network({address, prefix.length}) == Network(prefix);
}

std::string FormatMac(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i)
    out += StrCat(i == 0 ? "" : ":", HexEncode(bytes.substr(i, 1)));
  return out;
}

Result<std::string> ParseMac(std::string_view text) {
  const Error bad(Code::kInvalidArgument,
                  StrCat("address ", Quote(text, kMaxText), ": invalid MAC address"));
  const std::string lower = ToLower(text);
  if (lower.size() != 17) return bad.Clone();
  std::string out;
  for (size_t i = 0; i < lower.size(); i += 3) {
    auto digit = [&](size_t at) {
      const char c = lower[at];
      return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    };
    if (digit(i) < 0 || digit(i + 1) < 0) return bad.Clone();
    if (i + 2 < lower.size() && lower[i + 2] != ':' && lower[i + 2] != '-') return bad.Clone();
    out.push_back(static_cast<char>(digit(i) * 16 + digit(i + 1)));
  }
  return out;
}

}  // namespace berth::cni
