// SPDX-License-Identifier: Apache-2.0
// The pod's network namespace and the way there and back. One call; one thread, which is moved between the two.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cni/links.h"
#include "os/fd.h"

namespace berth::cni {

// The namespace that the thread is in, and one that `path` leads to.
class PodNetns {
 public:
  // NotFound: nothing is at the path. FailedPrecondition: it is no network namespace.
  static Result<PodNetns> Open(const std::string& path);

  int pod_fd() const { return pod_.get(); }
  int host_fd() const { return host_.get(); }
  // CNI forbids it: the plugin would set up its own namespace.
  bool IsOwn() const;

  // Runs `work` inside and comes back, whatever it gives.
  template <class Work>
  auto Inside(Work work) -> decltype(work()) {
    TRY(Enter(pod_.get()), "enter network namespace");
    auto result = work();
    // To be in the wrong namespace would change the wrong host.
    TRY(Enter(host_.get()), "leave network namespace");
    return result;
  }

 private:
  PodNetns(os::Fd pod, os::Fd host) : pod_(std::move(pod)), host_(std::move(host)) {}
  static Result<> Enter(int fd);
  os::Fd pod_;
  os::Fd host_;
};

// What CNI_NETNS leads to, for DEL: nothing when it is "" or gone.
Result<std::optional<PodNetns>> OpenIfThere(const std::string& path);

// net.* sysctls of the namespace that the thread is in; `key` with slashes, as interface names may have dots.
Result<> SetSysctl(const std::string& key, std::string_view value);
Result<std::string> GetSysctl(const std::string& key);
// A kernel without IPv6 has not that key: success.
Result<> SetSysctlIfThere(const std::string& key, std::string_view value);

}  // namespace berth::cni
