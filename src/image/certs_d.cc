// SPDX-License-Identifier: Apache-2.0
#include "image/certs_d.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>

#include "base/strings.h"

namespace berth::image {

namespace {

constexpr std::string_view kDockerDomain = "docker.io";
constexpr std::string_view kDockerHost = "registry-1.docker.io";

// "host:5000" and the spelling for file systems without colons, "host_5000_".
std::vector<std::string> DirectoryNames(const std::string& domain) {
  std::vector<std::string> names;
  const size_t colon = domain.rfind(':');
  if (colon != std::string::npos && colon > 0 && !domain.ends_with(']')) {
    names.push_back(StrCat(domain.substr(0, colon), "_", domain.substr(colon + 1), "_"));
  }
  names.push_back(domain);
  names.push_back("_default");
  return names;
}

Result<std::optional<os::DirFd>> OpenIfThere(const std::string& path) {
  auto dir = os::DirFd::OpenTrusted(path);
  if (dir) return std::optional<os::DirFd>(std::move(*dir));
  if (dir.error().code() == Code::kNotFound) return std::optional<os::DirFd>();
  return std::move(dir.error()).WithCode(Code::kFailedPrecondition);
}

// The first directory that is there. A domain was checked by oci::Reference: no '/', no "..".
Result<std::optional<std::pair<std::string, os::DirFd>>> OpenHostDir(
    const std::vector<std::string>& roots, const std::string& domain) {
  using Found = std::optional<std::pair<std::string, os::DirFd>>;
  for (const std::string& root : roots) {
    for (const std::string& name : DirectoryNames(domain)) {
      const std::string path = StrCat(root, "/", name);
      if (auto dir = TRY(OpenIfThere(path))) return Found({path, std::move(*dir)});
    }
  }
  return Found();
}

// A directory as Docker has it: certificates only.
Result<RegistryEndpoint> ReadDockerStyle(const os::DirFd& dir, const std::string& domain) {
  RegistryEndpoint endpoint = DefaultEndpoint(domain);
  std::vector<std::string> names = TRY(dir.List(1000));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (name.ends_with(".crt")) {
      endpoint.ca_pem += TRY(dir.ReadFile(name, kMaxPem, os::Resolve::kInRoot)) + "\n";
    } else if (name.ends_with(".cert") && endpoint.client_cert_pem.empty()) {
      const std::string key = name.substr(0, name.size() - 5) + ".key";
      endpoint.client_cert_pem = TRY(dir.ReadFile(name, kMaxPem, os::Resolve::kInRoot));
      endpoint.client_key_pem = TRY(dir.ReadFile(key, kMaxPem, os::Resolve::kInRoot), name);
    }
  }
  if (!endpoint.ca_pem.empty() || !endpoint.client_cert_pem.empty()) endpoint.scheme = "https";
  return endpoint;
}

Result<std::vector<RegistryEndpoint>> ReadHostDir(const os::DirFd& dir, const std::string& domain) {
  if (TRY(dir.Exists("hosts.toml"))) {
    // A mounted ConfigMap makes hosts.toml a link to ..data/hosts.toml: links inside the directory
    // are followed.
    const std::string text = TRY(dir.ReadFile("hosts.toml", kMaxHostsToml, os::Resolve::kInRoot));
    return ParseHostsToml(text, domain, dir);
  }
  std::vector<RegistryEndpoint> endpoints;
  endpoints.push_back(TRY(ReadDockerStyle(dir, domain)));
  return endpoints;
}

std::string_view WithoutPort(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    return end == std::string_view::npos ? host : host.substr(1, end - 1);
  }
  return host.substr(0, host.rfind(':'));
}

bool IsIpv4Loopback(std::string_view host) {
  const std::vector<std::string_view> parts = Split(host, '.');
  if (parts.size() != 4 || parts[0] != "127") return false;
  return std::all_of(parts.begin(), parts.end(),
                     [](std::string_view p) { return ParseInt(p, 0, 255, "octet").has_value(); });
}

}  // namespace

bool IsLoopbackHost(std::string_view host) {
  const std::string_view name = WithoutPort(host);
  return name == "localhost" || name == "::1" || IsIpv4Loopback(name);
}

RegistryEndpoint DefaultEndpoint(const std::string& domain) {
  RegistryEndpoint endpoint;
  const bool plain = IsLoopbackHost(domain) && !domain.ends_with(":443");
  endpoint.scheme = plain ? "http" : "https";
  endpoint.host = domain == kDockerDomain ? std::string(kDockerHost) : domain;
  endpoint.path = "/v2";
  endpoint.origin = true;
  return endpoint;
}

Result<std::vector<RegistryEndpoint>> FindEndpoints(const std::vector<std::string>& roots,
                                                    const std::string& domain) {
  if (domain.empty() || domain.starts_with('.') || domain.find('/') != std::string::npos) {
    return Error(Code::kInvalidArgument, StrCat("registry ", Quote(domain), ": not a host"));
  }
  auto found = TRY(OpenHostDir(roots, domain), "registry configuration");
  if (!found) {
    std::vector<RegistryEndpoint> endpoints;
    endpoints.push_back(DefaultEndpoint(domain));
    return endpoints;
  }
  auto endpoints = ReadHostDir(found->second, domain);
  if (!endpoints) {
    return std::move(endpoints.error()).Wrap(found->first).WithCode(Code::kFailedPrecondition);
  }
  return endpoints;
}

}  // namespace berth::image
