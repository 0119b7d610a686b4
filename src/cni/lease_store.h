// SPDX-License-Identifier: Apache-2.0
// host-local's leases on disk, in the reference plugin's format and under its lock, so that both may work on one network.
// Owned by one call, which holds the lock while it lives; one thread.
//
//   <dataDir>/<network>/
//     lock                  flock(2), exclusive
//     10.88.0.5             one lease: "<container id>\r\n<ifname>"; older files have no ifname
//     last_reserved_ip.<n>  the address given out last from range set n
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/address.h"
#include "cni/request.h"
#include "os/dir_fd.h"

namespace berth::cni {

class LeaseStore {
 public:
  // Makes the directory and waits for the lock.
  static Result<LeaseStore> Open(const std::string& data_dir, const std::string& network);
  // No store: nothing was ever leased there.
  static Result<std::optional<LeaseStore>> OpenIfThere(const std::string& data_dir,
                                                       const std::string& network);

  // False when the address is taken. A lease is there whole or not at all, whenever the process dies.
  Result<bool> Reserve(const Attachment& owner, const IpAddress& address, size_t range_set);
  std::optional<IpAddress> LastReserved(size_t range_set) const;
  // Addresses of the attachment, and those that an old plugin leased to its container.
  Result<std::vector<IpAddress>> Find(const Attachment& owner) const;
  // All of them; none is success.
  Result<> Release(const Attachment& owner);
  // Leases of nobody in `valid`, damaged files among them: all that can be removed; the first error is told.
  Result<> ReleaseAllBut(const std::set<Attachment>& valid);

 private:
  LeaseStore(os::DirFd dir, os::Fd lock) : dir_(std::move(dir)), lock_(std::move(lock)) {}
  static Result<LeaseStore> Lock(os::DirFd dir);
  struct Lease {
    std::string name;
    std::optional<IpAddress> address;
    std::string content;  // white space at its ends removed
  };
  Result<std::vector<Lease>> Read() const;
  Result<bool> WriteNew(const std::string& name, const std::string& content) const;

  os::DirFd dir_;
  os::Fd lock_;
};

}  // namespace berth::cni
