// SPDX-License-Identifier: Apache-2.0
#include "image/registry_host.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/strings.h"

namespace berth::image {

namespace {

constexpr std::string_view kHub = "docker.io";

bool IsHub(std::string_view host) {
  return host == kHub || host == "index.docker.io" || host == "registry-1.docker.io" ||
         host == "registry.hub.docker.com";
}

// Of a host without a port, in lower case.
std::string CanonicalAddress(const std::string& host) {
  char text[INET6_ADDRSTRLEN];
  if (host.starts_with('[') && host.ends_with(']')) {
    in6_addr six{};
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &six) != 1) return host;
    return StrCat("[", inet_ntop(AF_INET6, &six, text, sizeof text), "]");
  }
  in_addr four{};
  // All that a resolver takes for an IPv4 address: "127.1", "0x7f.1", "2130706433".
  if (inet_aton(host.c_str(), &four) != 1) return host;
  return inet_ntop(AF_INET, &four, text, sizeof text);
}

}  // namespace

std::string CanonicalRegistry(std::string_view host, std::string_view scheme) {
  std::string name = ToLower(host);
  std::string port;
  const size_t colon = name.rfind(':');
  if (colon != std::string::npos && !name.ends_with(']')) {
    const auto number = ParseInt(std::string_view(name).substr(colon + 1), 1, 65535, "port");
    if (!number) return name;  // no host at all: equal to itself only
    if (*number != (scheme == "http" ? 80 : 443)) port = StrCat(":", *number);
    name.resize(colon);
  }
  if (port.empty() && IsHub(name)) return std::string(kHub);
  return CanonicalAddress(name) + port;
}

std::string RegistryOfAddress(std::string_view address) {
  std::string_view scheme = "https";
  if (const size_t at = address.find("://"); at != std::string_view::npos) {
    scheme = address.substr(0, at);
    address.remove_prefix(at + 3);
  }
  return CanonicalRegistry(address.substr(0, address.find('/')), ToLower(scheme));
}

std::string CanonicalPrefix(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return CanonicalRegistry(name);
  const std::string registry = CanonicalRegistry(name.substr(0, slash));
  return StrCat(registry, name.substr(slash));
}

std::string CanonicalRepository(std::string_view name) {
  std::string out = CanonicalPrefix(name);
  const size_t slash = out.find('/');
  const bool official = slash == kHub.size() && out.starts_with(kHub) &&
                        out.find('/', slash + 1) == std::string::npos;
  if (official) out.insert(slash, "/library");
  return out;
}

}  // namespace berth::image
