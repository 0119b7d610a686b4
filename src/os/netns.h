// SPDX-License-Identifier: Apache-2.0
// Network namespaces that outlive the process: pinned by a bind mount of their nsfs file, where `ip
// netns` looks. The pin belongs to a record, not to an object: Create's caller registers Remove as
// the undo. Any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "os/dir_fd.h"
#include "os/fd.h"

namespace berth::os {

class NetNsPins {
 public:
  // `path` is a directory such as /run/netns; it is made (0755) and made a shared mount point if it
  // is not one yet, as `ip netns` does.
  static Result<NetNsPins> Open(const std::string& path);

  // A new namespace pinned at path/name. A helper thread unshares, runs `setup` inside (bring up
  // lo, sysctls) and pins; when setup fails nothing remains. AlreadyExists if the name is taken.
  // With `made` that namespace, which has no pin yet, instead of a new one.
  Result<> Create(std::string_view name, const std::function<Result<>()>& setup,
                  int made = -1) const;
  // Unmounts and removes the file; not there is success.
  Result<> Remove(std::string_view name) const;
  // The namespace, if the pin is there and is an nsfs file; NotFound otherwise.
  Result<Fd> OpenNs(std::string_view name) const;
  // What is pinned here (names), stale plain files included.
  Result<std::vector<std::string>> List() const;
  std::string PathOf(std::string_view name) const;

 private:
  NetNsPins(std::string path, DirFd dir) : path_(std::move(path)), dir_(std::move(dir)) {}
  std::string path_;
  DirFd dir_;
};

// Runs `work` on a helper thread that has entered the network namespace (setns(2)), and waits for
// it.
Result<> RunInNetNs(int netns_fd, const std::function<Result<>()>& work);

// Brings the interface "lo" of the current network namespace up (SIOCSIFFLAGS).
Result<> BringLoopbackUp();

// Writes /proc/sys/<key with dots or slashes> of the current namespaces, through a private look at
// procfs; the key is checked ([a-z0-9_./-], no ".."), the value may hold no newline.
// InvalidArgument otherwise.
Result<> WriteSysctl(std::string_view key, std::string_view value);

}  // namespace berth::os
