// SPDX-License-Identifier: Apache-2.0
// certs.d/<host>/hosts.toml: what is accepted names servers that can be asked.
#include <optional>

#include "image/certs_d.h"
#include "os/dir_fd.h"
#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto kDir = berth::os::DirFd::OpenTrusted("/proc/self/fdinfo");
  if (!kDir) return 0;
  const auto endpoints = berth::image::ParseHostsToml(berth::fuzz::Text(data, size),
                                                      "registry.example.com:5000", *kDir);
  if (!endpoints) {
    Require(!endpoints.error().message().empty());
    return 0;
  }
  Require(!endpoints->empty() && endpoints->size() <= berth::image::kMaxEndpoints);
  for (const auto& endpoint : *endpoints) {
    Require(endpoint.scheme == "https" || endpoint.scheme == "http");
    Require(!endpoint.host.empty() && endpoint.host.find_first_of("/@ \r\n") == std::string::npos);
    Require(endpoint.client_cert_pem.empty() == endpoint.client_key_pem.empty());
    for (const auto& [name, value] : endpoint.headers)
      Require((name + value).find_first_of("\r\n") == std::string::npos);
  }
  return 0;
}
