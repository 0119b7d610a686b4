// SPDX-License-Identifier: Apache-2.0
// Token buckets and redirection by rtnetlink(7), tc-tbf(8). A TrafficControl belongs to one call and speaks to the network
// namespace in which it was opened; one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/netlink.h"

namespace berth::cni {

struct Bucket {
  uint64_t rate = 0;   // bits per second
  uint64_t burst = 0;  // bits
};
// As the kernel has it: bytes per second, bytes, ticks of 64 ns.
struct KernelBucket {
  uint64_t rate = 0;
  uint32_t limit = 0;
  uint32_t buffer = 0;
};
KernelBucket ToKernel(const Bucket& bucket);

// The prefix and as much of the SHA-512 of `text` in hexadecimal as an interface's name has room for: the reference plugin's
// names, so that either plugin finds what the other made.
std::string HashedName(std::string_view prefix, std::string_view text);

class TrafficControl {
 public:
  static Result<TrafficControl> Open();
  Result<> AddBucket(int link, const Bucket& bucket);  // as the root, 1:
  Result<> AddIngress(int link);                       // ffff:
  // All that comes in by `link` goes out by `to`.
  Result<> Redirect(int link, int to);
  Result<> RemoveRoot(int link);     // not there: success
  Result<> RemoveIngress(int link);  // not there: success
  Result<std::optional<KernelBucket>> FindBucket(int link);

 private:
  explicit TrafficControl(os::netlink::Socket socket) : socket_(std::move(socket)) {}
  Result<> Remove(int link, uint32_t parent, uint32_t handle);
  os::netlink::Socket socket_;
};

}  // namespace berth::cni
