// SPDX-License-Identifier: Apache-2.0
// What pods and containers use, read when somebody asks: nothing is collected in the background.
// Implemented by LinuxStats (control groups, netlink) and FakeStats (testing/). Owned by the daemon; calls
// block briefly; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/cgroup_meter.h"

namespace berth::runtime {

struct Usage {
  int64_t timestamp = 0;  // wall nanoseconds of the reading
  os::CgroupUsage group;
  // Cores in use, in billionths, between an earlier reading and this one; unset until there are two.
  std::optional<uint64_t> nano_cores;
};

// Reads one control group again and again; its descriptors stay open until Close or the destructor. Owned by
// the pod or container that the group belongs to. Any thread.
class Meter {
 public:
  virtual ~Meter() = default;
  // NotFound when the group is not there, or not there any more.
  virtual Result<Usage> Read(os::CgroupDetail detail) = 0;
  // Lets the descriptors go; the next Read opens them again.
  virtual void Close() = 0;
};

// Counters of one interface, as its pod sees them.
struct InterfaceUsage {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};
struct NetworkUsage {
  int64_t timestamp = 0;
  std::vector<InterfaceUsage> interfaces;  // without lo
};
struct PodNetNs {
  std::string sandbox_id;
  std::string path;
};

// Of all processes of one container together.
struct ProcessCounts {
  uint64_t file_descriptors = 0;
  uint64_t sockets = 0;
  std::optional<uint64_t> max_open_files;  // soft limit of the first process; unset: none
};

class Stats {
 public:
  virtual ~Stats() = default;

  // `cgroup_path` as os::Cgroups takes it. Opens nothing yet.
  virtual std::unique_ptr<Meter> MakeMeter(const std::string& cgroup_path) = 0;

  // By sandbox id. A pod whose namespace is not there is left out.
  virtual Result<std::map<std::string, NetworkUsage>> ReadNetworks(
      const std::vector<PodNetNs>& pods) = 0;
  // The pod is gone: what was learnt of its interfaces is forgotten.
  virtual void Forget(const std::string& sandbox_id) = 0;

  // Processes that end meanwhile do not count. ResourceExhausted above 4096 processes or 1000000 descriptors.
  virtual Result<ProcessCounts> CountProcesses(const std::vector<int>& pids) = 0;

  // "/dev/sda" for a block device's number; "8:0" where it has no name here.
  virtual std::string DeviceName(uint32_t major, uint32_t minor) = 0;
};

}  // namespace berth::runtime
