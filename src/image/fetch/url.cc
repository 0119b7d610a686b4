// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/strings.h"

namespace berth::image::fetch {

namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Handle = std::unique_ptr<CURLU, FreeUrl>;

constexpr unsigned int kFlags = CURLU_DISALLOW_USER;

Error NotAUrl() { return Error(Code::kInvalidArgument, "not an http or https URL"); }

// Empty when the part is missing.
std::string Part(CURLU* url, CURLUPart part, unsigned int flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  std::string out(text);
  curl_free(text);
  return out;
}

bool HasStrangeBytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= 0x20 || byte >= 0x7f || byte == '\\';
  });
}

bool ParseIpv6(const std::string& host, in6_addr& address) {
  if (!host.starts_with('[') || !host.ends_with(']')) return false;
  const std::string inner = host.substr(1, host.size() - 2);
  return inet_pton(AF_INET6, inner.substr(0, inner.find('%')).c_str(), &address) == 1;
}

// "1.2.3.4", also as an IPv6 address that holds one.
bool ParseIpv4(const std::string& host, uint32_t& address) {
  in_addr four{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) {
    address = ntohl(four.s_addr);
    return true;
  }
  in6_addr six{};
  if (!ParseIpv6(host, six) || !IN6_IS_ADDR_V4MAPPED(&six)) return false;
  std::memcpy(&address, &six.s6_addr[12], sizeof address);
  address = ntohl(address);
  return true;
}

bool IsLoopback4(uint32_t address) { return address >> 24 == 127 || address >> 24 == 0; }
bool IsInternal4(uint32_t address) {
  return IsLoopback4(address) || address >> 16 == (169U << 8 | 254U);
}

}  // namespace

Result<Url> Url::Parse(std::string_view text) {
  if (text.size() > kMaxBytes || HasStrangeBytes(text)) return NotAUrl();
  Handle handle(curl_url());
  if (!handle ||
      curl_url_set(handle.get(), CURLUPART_URL, std::string(text).c_str(), kFlags) != CURLUE_OK) {
    return NotAUrl();
  }
  curl_url_set(handle.get(), CURLUPART_FRAGMENT, nullptr, 0);
  Url url;
  url.scheme_ = Part(handle.get(), CURLUPART_SCHEME);
  // libcurl writes IPv4 addresses of any spelling ("0x7f.1") as four decimal numbers here.
  url.host_ = ToLower(Part(handle.get(), CURLUPART_HOST));
  url.path_ = Part(handle.get(), CURLUPART_PATH);
  url.has_query_ = !Part(handle.get(), CURLUPART_QUERY).empty();
  url.text_ = Part(handle.get(), CURLUPART_URL);
  const std::string port = Part(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  const auto number = ParseInt(port, 1, 65535, "port");
  if ((url.scheme_ != "http" && url.scheme_ != "https") || url.host_.empty() || !number) {
    return NotAUrl();
  }
  while (url.host_.size() > 1 && url.host_.ends_with('.')) url.host_.pop_back();
  url.port_ = static_cast<uint16_t>(*number);
  return url;
}

Result<Url> Url::Resolve(std::string_view location) const {
  if (location.empty() || location.size() > kMaxBytes || HasStrangeBytes(location)) {
    return NotAUrl();
  }
  Handle handle(curl_url());
  if (!handle || curl_url_set(handle.get(), CURLUPART_URL, text_.c_str(), kFlags) != CURLUE_OK ||
      curl_url_set(handle.get(), CURLUPART_URL, std::string(location).c_str(), kFlags) !=
          CURLUE_OK) {
    return NotAUrl();
  }
  return Parse(Part(handle.get(), CURLUPART_URL));
}

std::string Url::Shown() const {
  return StrCat(scheme_, "://", host_, ":", port_, path_, has_query_ ? "?..." : "");
}

bool Url::IsAddress() const {
  in6_addr six{};
  in_addr four{};
  return ParseIpv6(host_, six) || inet_pton(AF_INET, host_.c_str(), &four) == 1;
}

bool Url::IsInternal() const {
  in6_addr six{};
  uint32_t four = 0;
  if (IsLoopback()) return true;
  if (ParseIpv4(host_, four)) return IsInternal4(four);
  return ParseIpv6(host_, six) && IN6_IS_ADDR_LINKLOCAL(&six);
}

bool Url::IsLoopback() const {
  if (host_ == "localhost" || host_.ends_with(".localhost")) return true;
  uint32_t four = 0;
  if (ParseIpv4(host_, four)) return IsLoopback4(four);
  in6_addr six{};
  return ParseIpv6(host_, six) && (IN6_IS_ADDR_LOOPBACK(&six) || IN6_IS_ADDR_UNSPECIFIED(&six));
}

bool Url::MayLeadTo(const Url& target) const {
  return !target.IsInternal() || target.host_ == host_ || (IsLoopback() && target.IsLoopback());
}

Peers Url::PeersOf(const Url& target) const {
  if (target.host_ == host_) return Peers::kAny;
  return IsLoopback() ? Peers::kNotOnLink : Peers::kOutside;
}

bool IsAllowed(Peers peers, const std::string& address) {
  if (peers == Peers::kAny) return true;
  uint32_t four = 0;
  in6_addr six{};
  bool loopback = false;
  bool on_link = false;
  if (const std::string host =
          address.find(':') == std::string::npos ? address : StrCat("[", address, "]");
      ParseIpv4(host, four)) {
    loopback = IsLoopback4(four);
    on_link = !loopback && IsInternal4(four);
  } else if (ParseIpv6(host, six)) {
    loopback = IN6_IS_ADDR_LOOPBACK(&six) || IN6_IS_ADDR_UNSPECIFIED(&six);
    on_link = IN6_IS_ADDR_LINKLOCAL(&six);
  } else {
    return false;
  }
  return !on_link && (peers == Peers::kNotOnLink || !loopback);
}

bool IsAllowed(Peers peers, const sockaddr& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.sa_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address, sizeof four);
    inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
  } else if (address.sa_family == AF_INET6) {
    sockaddr_in6 six{};
    std::memcpy(&six, &address, sizeof six);
    inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
  }
  return IsAllowed(peers, std::string(text));
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

}  // namespace berth::image::fetch
