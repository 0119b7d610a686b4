// SPDX-License-Identifier: Apache-2.0
// ProcessFetcher: a Fetcher whose sessions are berth-fetch processes. The daemon reads nothing from
// the network here. Owned by the daemon; any thread. Registry configuration is read anew for each
// session.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "image/fetcher.h"

namespace berth::image {

struct FetchSettings {
  std::string program;  // absolute path of berth-fetch
  uid_t uid = 65534;    // what it becomes; never 0
  gid_t gid = 65534;
  std::vector<std::string> certs_d;  // directories as containerd's config_path, first match wins
  std::chrono::milliseconds connect_timeout{30'000};
  std::chrono::milliseconds stall_timeout{
      60'000};                                 // no byte from a server for so long: the pull fails
  std::chrono::milliseconds retry_delay{250};  // before a request is repeated the first time
  oci::Platform platform;                      // empty: this machine's
  ProxySettings proxy;
  // Docker's config.json files, first that is there and knows the registry; for pulls that bring no
  // credentials. Read anew for each pull.
  std::vector<std::string> docker_configs;
};

// "linux/amd64" or what uname(2) says.
oci::Platform HostPlatform();

class ProcessFetcher final : public Fetcher {
 public:
  explicit ProcessFetcher(FetchSettings settings);
  // FailedPrecondition for a certs.d that cannot be understood; NotFound or PermissionDenied for
  // the program.
  // A LocalSource's fd must be open for reading only. A directory is not handed over: the daemon
  // opens the files of the layout one by one for the process (FileService).
  Result<std::unique_ptr<FetchSession>> Open(RemoteSource source) override;

 private:
  FetchSettings settings_;
};

}  // namespace berth::image
