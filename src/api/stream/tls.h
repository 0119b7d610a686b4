// SPDX-License-Identifier: Apache-2.0
// TLS 1.2 and 1.3 for clients' connections (OpenSSL), with a certificate of the client if there is a CA to check it
// with. A TlsContext is kept by the connections made with it; the loop's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/stream/transport.h"

namespace berth::stream {

struct TlsFiles {  // PEM
  std::string chain;
  std::string key;
  std::optional<std::string> client_ca;
};

// From the fds of a kTls: two or three, at most 1 MiB each.
Result<TlsFiles> ReadTlsFiles(const std::vector<os::Fd>& fds);

class TlsContext : public std::enable_shared_from_this<TlsContext> {
 public:
  // InvalidArgument: not PEM, an encrypted key, a key of another certificate.
  static Result<std::shared_ptr<TlsContext>> Make(const TlsFiles& files);
  ~TlsContext();
  // The handshake happens with the first reads and writes.
  Result<std::unique_ptr<Transport>> Wrap(os::Fd socket);

 private:
  TlsContext() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::stream
