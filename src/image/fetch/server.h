// SPDX-License-Identifier: Apache-2.0
// The process's work: reads operations from the control socket, runs each on a thread of its own,
// answers on the operation's socket. Owned by main; Run on the main thread.
#pragma once

#include <memory>
#include <string>

#include "base/guarded.h"
#include "image/fetch/local.h"
#include "image/fetch/registry.h"
#include "image/fetch_protocol.h"
#include "os/socket.h"

namespace berth::image::fetch {

class Server {
 public:
  // `system_ca`: PEM of the system's certificate authorities.
  Server(os::Fd control, std::string system_ca)
      : control_(std::move(control)), system_ca_(std::move(system_ca)) {}

  // Until the control socket ends. Operations that still run then end with the process.
  Result<> Run();

 private:
  // What Resolve found, for FetchLayer; never changed afterwards.
  struct Opened {
    std::unique_ptr<Content> content;
    std::vector<ResolvedImage> images;
  };
  using Task = Result<std::string> (Server::*)(int socket, os::Fd extra);

  Result<> Start(os::Message message);
  void Work(Task task, os::Fd socket, os::Fd extra);
  Result<std::string> Resolve(int socket, os::Fd source);
  Result<std::string> FetchLayer(int socket, os::Fd sink);
  Result<std::vector<RemoteImage>> OpenRegistry(const ResolveRequest& request,
                                                Credentials credentials);
  Result<std::vector<RemoteImage>> OpenSource(const ResolveRequest& request, os::Fd source);

  const os::Fd control_;
  const std::string system_ca_;
  Guarded<std::shared_ptr<const Opened>> opened_;
};

// "a: RegistryUnavailable: b" -> "RegistryUnavailable: a: b": whoever looks for the prefix looks at
// the beginning.
std::string PrefixFirst(std::string_view message);

}  // namespace berth::image::fetch
