// SPDX-License-Identifier: Apache-2.0
// Which servers answer for a registry: containerd's certs.d/<host>/hosts.toml, read anew for each
// pull by the daemon (the operator's own file, so trusted) and handed to berth-fetch as plain
// values. Pure but for reading; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "os/dir_fd.h"

namespace berth::image {

// One server to ask, in the operator's order.
struct RegistryEndpoint {
  std::string scheme;   // "https" or "http"
  std::string host;     // "registry-1.docker.io", "127.0.0.1:5000", "[::1]:5000"
  std::string path;     // "/v2", or what the file says
  bool origin = false;  // the registry itself: gets the pull's credentials. Mirrors do not
  bool pull = true;     // may be asked for blobs and for manifests by digest
  bool resolve = true;  // may be asked what a tag is
  bool skip_verify = false;
  std::string ca_pem;           // trusted in addition to the system's
  std::string client_cert_pem;  // with client_key_pem, or both empty
  std::string client_key_pem;
  std::vector<std::pair<std::string, std::string>> headers;
  std::chrono::milliseconds dial_timeout{0};  // 0: the default
  // Hosts (lower case, without port) that may see the credentials as its token service, beside those
  // that fetch::MaySeeCredentials knows.
  std::vector<std::string> token_hosts;
};

inline constexpr size_t kMaxHostsToml = 1u << 20;
inline constexpr size_t kMaxPem = 1u << 20;
inline constexpr size_t kMaxEndpoints = 32;
inline constexpr size_t kMaxTokenHosts = 16;

// The endpoints for `domain` (oci::Reference::domain()), from the first directory that is there;
// without any, the registry itself. A file that cannot be read or understood is FailedPrecondition
// naming it, never skipped.
//   certs.d/
//     registry.example_5000_/    a domain with a port: this spelling first
//     registry.example:5000/     the domain
//     _default/                  any domain
//       hosts.toml               server, [host."https://mirror"] ..., ca, client, skip_verify
//       *.crt, *.cert + *.key    without a hosts.toml: CAs, a client's certificate and key
Result<std::vector<RegistryEndpoint>> FindEndpoints(const std::vector<std::string>& roots,
                                                    const std::string& domain);

// The text of one hosts.toml. `dir` is where its relative file names start.
Result<std::vector<RegistryEndpoint>> ParseHostsToml(std::string_view text,
                                                     const std::string& domain,
                                                     const os::DirFd& dir);

// The registry without any configuration: https; plain http only for a loopback host (localhost,
// 127.0.0.0/8, ::1) whose port is not 443. There is no fallback from https to http for anybody.
RegistryEndpoint DefaultEndpoint(const std::string& domain);

// "localhost", "127.1.2.3:5000", "[::1]:5000"; the port is ignored. Names are never looked up.
bool IsLoopbackHost(std::string_view host);

}  // namespace berth::image
