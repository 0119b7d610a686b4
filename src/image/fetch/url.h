// SPDX-License-Identifier: Apache-2.0
// An absolute http or https URL, parsed by libcurl's own parser, so that what is judged is what is
// contacted. A value; any thread.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::image::fetch {

// Which addresses the peer of an exchange may have, whatever name it goes by.
enum class Peers {
  kAny,
  kNotOnLink,  // none that is link-local (metadata services)
  kOutside,    // nor one of this machine
};

class Url {
 public:
  static constexpr size_t kMaxBytes = 16u << 10;

  // InvalidArgument for any other scheme, user information, a control byte, or a text that is no
  // URL.
  static Result<Url> Parse(std::string_view text);
  // RFC 3986 section 5: what a Location header means here.
  Result<Url> Resolve(std::string_view location) const;

  const std::string& scheme() const { return scheme_; }
  const std::string& host() const { return host_; }  // lower case; IPv6 in brackets
  uint16_t port() const { return port_; }
  const std::string& text() const { return text_; }  // without fragment
  bool https() const { return scheme_ == "https"; }
  // "https://host:port/path?...": query values may be secrets and are left out.
  std::string Shown() const;
  bool SameOrigin(const Url& other) const {
    return scheme_ == other.scheme_ && host_ == other.host_ && port_ == other.port_;
  }
  // An address instead of a name, by any spelling that libcurl takes for one.
  bool IsAddress() const;
  // Loopback, link-local (metadata services) and unspecified addresses, and localhost: only these,
  // no look-up.
  bool IsInternal() const;
  bool IsLoopback() const;  // and unspecified: both are this machine
  // A server may send us to the outside, to itself, and within this machine if it is there; not to an
  // address inside the machine or on the link (metadata services) from elsewhere.
  bool MayLeadTo(const Url& target) const;
  // The same for the addresses that the target's name turns out to have.
  Peers PeersOf(const Url& target) const;

 private:
  Url() = default;
  std::string scheme_, host_, path_, text_;
  uint16_t port_ = 0;
  bool has_query_ = false;
};

bool IsAllowed(Peers peers, const sockaddr& address);
// Of an address as text; one that is none is not allowed unless all are.
bool IsAllowed(Peers peers, const std::string& address);

// "a b/c" -> "a%20b%2Fc".
std::string PercentEncode(std::string_view text);

}  // namespace berth::image::fetch
