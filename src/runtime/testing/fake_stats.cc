// SPDX-License-Identifier: Apache-2.0
#include "runtime/testing/fake_stats.h"

#include <algorithm>
#include <atomic>

#include "base/strings.h"

namespace berth::runtime {

class FakeStats::FakeMeter final : public Meter {
 public:
  FakeMeter(FakeStats& stats, std::string path) : stats_(stats), path_(std::move(path)) {
    stats_.state_.Lock()->meters.push_back(this);
  }
  ~FakeMeter() override { std::erase(stats_.state_.Lock()->meters, this); }

  Result<Usage> Read(os::CgroupDetail detail) override {
    TRY(stats_.Enter("Read", path_));
    if (!open_) TRY(stats_.Enter("Open", path_));
    auto state = stats_.state_.Lock();
    const auto group = state->groups.find(path_);
    open_ = group != state->groups.end();
    if (!open_) return Error(Code::kNotFound, StrCat("control group ", path_, " is not there"));
    Usage usage;
    usage.timestamp = stats_.clock_.WallNanos();
    usage.group = group->second;
    if (detail == os::CgroupDetail::kUsage) usage.group.pids.clear();
    if (usage.group.cpu)
      usage.nano_cores = rate_.Add(usage.group.cpu->usage_ns, stats_.clock_.Monotonic());
    return usage;
  }
  void Close() override { open_ = false; }
  bool open() const { return open_; }
  const std::string& path() const { return path_; }

 private:
  FakeStats& stats_;
  const std::string path_;
  std::atomic<bool> open_{false};
  CpuRate rate_;
};

FakeStats::FakeStats(const Clock& clock) : clock_(clock) {}

void FakeStats::SetHook(Hook hook) { state_.Lock()->hook = std::move(hook); }
void FakeStats::SetGroup(const std::string& path, os::CgroupUsage usage) {
  state_.Lock()->groups[path] = std::move(usage);
}
void FakeStats::RemoveGroup(const std::string& path) { state_.Lock()->groups.erase(path); }
void FakeStats::SetNetwork(const std::string& sandbox_id, std::vector<InterfaceUsage> interfaces) {
  state_.Lock()->networks[sandbox_id] = std::move(interfaces);
}
void FakeStats::SetProcesses(ProcessCounts counts) { state_.Lock()->processes = counts; }

int FakeStats::Meters() const { return static_cast<int>(state_.Lock()->meters.size()); }

std::vector<std::string> FakeStats::Open() const {
  std::vector<std::string> paths;
  auto state = state_.Lock();
  for (const FakeMeter* meter : state->meters)
    if (meter->open()) paths.push_back(meter->path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<std::string> FakeStats::Calls() const { return state_.Lock()->calls; }

Result<> FakeStats::Enter(std::string_view call, std::string_view what) {
  Hook hook;
  {
    auto state = state_.Lock();
    state->calls.push_back(what.empty() ? std::string(call) : StrCat(call, " ", what));
    hook = state->hook;
  }
  return hook ? hook(call, what) : Ok();
}

std::unique_ptr<Meter> FakeStats::MakeMeter(const std::string& cgroup_path) {
  return std::make_unique<FakeMeter>(*this, cgroup_path);
}

Result<std::map<std::string, NetworkUsage>> FakeStats::ReadNetworks(
    const std::vector<PodNetNs>& pods) {
  TRY(Enter("ReadNetworks", StrCat(pods.size())));
  std::map<std::string, NetworkUsage> out;
  auto state = state_.Lock();
  for (const PodNetNs& pod : pods) {
    const auto found = state->networks.find(pod.sandbox_id);
    if (found != state->networks.end())
      out[pod.sandbox_id] = {.timestamp = clock_.WallNanos(), .interfaces = found->second};
  }
  return out;
}

void FakeStats::Forget(const std::string& sandbox_id) {
  (void)Enter("Forget", sandbox_id);
  state_.Lock()->networks.erase(sandbox_id);
}

Result<ProcessCounts> FakeStats::CountProcesses(const std::vector<int>& pids) {
  TRY(Enter("CountProcesses", StrCat(pids.size())));
  return state_.Lock()->processes;
}

std::string FakeStats::DeviceName(uint32_t major, uint32_t minor) {
  return StrCat("/dev/fake", major, "-", minor);
}

}  // namespace berth::runtime
