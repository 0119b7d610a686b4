// SPDX-License-Identifier: Apache-2.0
#include "runtime/linux_stats.h"

#include <sys/resource.h>

#include <algorithm>
#include <mutex>
#include <optional>

#include "base/strings.h"
#include "runtime/cpu_rate.h"
#include "runtime/process_counts.h"
#include "runtime/scope_group.h"

namespace berth::runtime {

namespace {

// The lock is held over the reading, so that readings and the rate that is made of them are in one order. It
// is this group's alone.
class LinuxMeter final : public Meter {
 public:
  LinuxMeter(const os::Cgroups& cgroups, const std::string& path,
             const std::vector<std::string>& huge_page_sizes, os::FdBudget& budget,
             const Clock& clock)
      : cgroups_(cgroups),
        path_(path),
        huge_page_sizes_(huge_page_sizes),
        budget_(budget),
        clock_(clock) {}

  Result<Usage> Read(os::CgroupDetail detail) override {
    const std::lock_guard lock(mutex_);
    Usage usage;
    usage.timestamp = clock_.WallNanos();
    const std::chrono::nanoseconds now = clock_.Monotonic();
    // Not before the group is there: only then it shows where in a scope the container is.
    if (!meter_)
      meter_.emplace(cgroups_, TRY(GroupInScope(cgroups_, path_)), huge_page_sizes_, budget_);
    Result<os::CgroupUsage> read = meter_->Read(detail);
    if (!read) {
      meter_.reset();
      return std::move(read.error());
    }
    usage.group = std::move(*read);
    if (usage.group.cpu) usage.nano_cores = rate_.Add(usage.group.cpu->usage_ns, now);
    return usage;
  }

  void Close() override {
    const std::lock_guard lock(mutex_);
    meter_.reset();
  }

 private:
  const os::Cgroups& cgroups_;
  const std::string path_;
  const std::vector<std::string>& huge_page_sizes_;
  os::FdBudget& budget_;
  const Clock& clock_;
  std::mutex mutex_;
  std::optional<os::CgroupMeter> meter_;
  CpuRate rate_;
};

int HalfOfOpenFiles() {
  constexpr int kMost = 1 << 19;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 512;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur / 2, kMost));
}

}  // namespace

LinuxStats::LinuxStats(os::Cgroups cgroups, std::vector<std::string> huge_page_sizes,
                       os::DirFd proc, std::string block_devices, int max_held_fds,
                       const Clock& clock)
    : clock_(clock),
      cgroups_(std::move(cgroups)),
      huge_page_sizes_(std::move(huge_page_sizes)),
      proc_(std::move(proc)),
      block_devices_(std::move(block_devices)),
      budget_(max_held_fds),
      links_(clock) {}

Result<std::unique_ptr<LinuxStats>> LinuxStats::Open(const LinuxStatsOptions& options,
                                                     const Clock& clock) {
  os::Cgroups cgroups = TRY(os::Cgroups::Detect(options.cgroup_root), "control groups");
  std::vector<std::string> sizes = TRY(os::HugePageSizes(options.huge_pages), "huge pages");
  os::DirFd proc = TRY(os::DirFd::OpenTrusted(options.proc));
  const int fds = options.max_held_fds > 0 ? options.max_held_fds : HalfOfOpenFiles();
  return std::unique_ptr<LinuxStats>(new LinuxStats(
      std::move(cgroups), std::move(sizes), std::move(proc), options.block_devices, fds, clock));
}

std::unique_ptr<Meter> LinuxStats::MakeMeter(const std::string& cgroup_path) {
  return std::make_unique<LinuxMeter>(cgroups_, cgroup_path, huge_page_sizes_, budget_, clock_);
}

Result<std::map<std::string, NetworkUsage>> LinuxStats::ReadNetworks(
    const std::vector<PodNetNs>& pods) {
  if (pods.empty()) return std::map<std::string, NetworkUsage>();
  return links_.Read(pods);
}

void LinuxStats::Forget(const std::string& sandbox_id) { links_.Forget(sandbox_id); }

Result<ProcessCounts> LinuxStats::CountProcesses(const std::vector<int>& pids) {
  return runtime::CountProcesses(proc_, pids);
}

std::string DeviceNameOf(std::string_view uevent) {
  constexpr std::string_view kKey = "DEVNAME=";
  for (std::string_view line : Split(uevent, '\n'))
    if (line.starts_with(kKey) && line.size() > kKey.size())
      return StrCat("/dev/", line.substr(kKey.size()));
  return {};
}

std::string LinuxStats::DeviceName(uint32_t major, uint32_t minor) {
  constexpr size_t kMaxCached = 1024;
  const std::pair<uint32_t, uint32_t> key(major, minor);
  {
    auto devices = devices_.Lock();
    const auto at = devices->find(key);
    if (at != devices->end()) return at->second;
  }
  const std::string number = StrCat(major, ":", minor);
  std::string name;
  // sysfs' entry is a symbolic link: OpenTrusted follows it.
  if (auto dir = os::DirFd::OpenTrusted(StrCat(block_devices_, "/", number)))
    if (auto uevent = dir->ReadFile("uevent", 64U << 10)) name = DeviceNameOf(*uevent);
  if (name.empty()) name = number;
  auto devices = devices_.Lock();
  if (devices->size() >= kMaxCached) devices->clear();
  devices->emplace(key, name);
  return name;
}

}  // namespace berth::runtime
