// SPDX-License-Identifier: Apache-2.0
// Stats in memory: the test says what groups and pods use, and makes any reading fail through `hook`. Owned by
// the test; any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "runtime/cpu_rate.h"
#include "runtime/stats.h"

namespace berth::runtime {

class FakeStats final : public Stats {
 public:
  // Called before each reading with its name and what it reads; an error is returned by the reading.
  using Hook = std::function<Result<>(std::string_view call, std::string_view what)>;

  explicit FakeStats(const Clock& clock);
  void SetHook(Hook hook);
  void SetGroup(const std::string& path, os::CgroupUsage usage);
  void RemoveGroup(const std::string& path);
  void SetNetwork(const std::string& sandbox_id, std::vector<InterfaceUsage> interfaces);
  void SetProcesses(ProcessCounts counts);

  // --- what exists ---
  int Meters() const;                     // that were made and still live
  std::vector<std::string> Open() const;  // paths of meters that keep descriptors, sorted
  std::vector<std::string> Calls() const;

  // --- Stats ---
  std::unique_ptr<Meter> MakeMeter(const std::string& cgroup_path) override;
  Result<std::map<std::string, NetworkUsage>> ReadNetworks(
      const std::vector<PodNetNs>& pods) override;
  void Forget(const std::string& sandbox_id) override;
  Result<ProcessCounts> CountProcesses(const std::vector<int>& pids) override;
  std::string DeviceName(uint32_t major, uint32_t minor) override;

 private:
  class FakeMeter;
  struct State {
    Hook hook;
    std::map<std::string, os::CgroupUsage> groups;
    std::map<std::string, std::vector<InterfaceUsage>> networks;
    ProcessCounts processes;
    std::vector<const FakeMeter*> meters;
    std::vector<std::string> calls;
  };
  Result<> Enter(std::string_view call, std::string_view what);

  const Clock& clock_;
  mutable Guarded<State> state_;
};

}  // namespace berth::runtime
