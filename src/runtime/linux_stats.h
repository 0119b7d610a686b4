// SPDX-License-Identifier: Apache-2.0
// Stats by the running system. Owned by the daemon; any thread. Its meters may not outlive it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "os/cgroup_meter.h"
#include "os/dir_fd.h"
#include "runtime/link_stats.h"
#include "runtime/stats.h"

namespace berth::runtime {

struct LinuxStatsOptions {
  std::string cgroup_root = "/sys/fs/cgroup";
  std::string huge_pages = "/sys/kernel/mm/hugepages";
  std::string block_devices = "/sys/dev/block";
  std::string proc = "/proc";
  // Descriptors that all meters together may keep open; 0: half of what the process may open.
  int max_held_fds = 0;
};

class LinuxStats final : public Stats {
 public:
  // `clock` outlives it.
  static Result<std::unique_ptr<LinuxStats>> Open(const LinuxStatsOptions& options,
                                                  const Clock& clock);

  std::unique_ptr<Meter> MakeMeter(const std::string& cgroup_path) override;
  Result<std::map<std::string, NetworkUsage>> ReadNetworks(
      const std::vector<PodNetNs>& pods) override;
  void Forget(const std::string& sandbox_id) override;
  Result<ProcessCounts> CountProcesses(const std::vector<int>& pids) override;
  std::string DeviceName(uint32_t major, uint32_t minor) override;

 private:
  LinuxStats(os::Cgroups cgroups, std::vector<std::string> huge_page_sizes, os::DirFd proc,
             std::string block_devices, int max_held_fds, const Clock& clock);

  const Clock& clock_;
  const os::Cgroups cgroups_;
  const std::vector<std::string> huge_page_sizes_;
  const os::DirFd proc_;
  const std::string block_devices_;
  os::FdBudget budget_;
  LinkStats links_;
  Guarded<std::map<std::pair<uint32_t, uint32_t>, std::string>> devices_;
};

// DEVNAME of the text of a block device's uevent (sysfs), as a path below /dev; "" without one.
std::string DeviceNameOf(std::string_view uevent);

}  // namespace berth::runtime
