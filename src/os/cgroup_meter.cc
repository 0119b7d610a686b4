// SPDX-License-Identifier: Apache-2.0
// Which files there are, and keeping them open. What is in them becomes numbers in cgroup_meter_read.cc.
#include "os/cgroup_meter.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/strings.h"
#include "os/cgroup_meter_internal.h"

namespace berth::os {

bool FdBudget::Take(int count) {
  int left = left_;
  while (left >= count)
    if (left_.compare_exchange_weak(left, left - count)) return true;
  return false;
}

Result<std::vector<std::string>> HugePageSizes(const std::string& root) {
  std::vector<std::string> sizes;
  auto dir = DirFd::OpenTrusted(root);
  if (!dir && dir.error().code() == Code::kNotFound) return sizes;
  if (!dir) return std::move(dir.error());
  for (const std::string& name : TRY(dir->List(), root)) {
    std::string_view size = name;  // hugepages-2048kB
    if (!size.starts_with("hugepages-") || !size.ends_with("kB")) continue;
    size = size.substr(10, size.size() - 12);
    const int64_t kib = TRY(ParseInt(size, 1, INT64_MAX >> 10, "huge page size"));
    sizes.push_back(kib >= 1 << 20   ? StrCat(kib >> 20, "GB")
                    : kib >= 1 << 10 ? StrCat(kib >> 10, "MB")
                                     : StrCat(kib, "KB"));
  }
  return sizes;
}

const std::vector<CgroupMeter::Spec>& CgroupMeter::Specs(CgroupMode mode) {
  static_assert(kPids + 1 == kFiles);
  using D = CgroupDetail;
  static const std::vector<Spec> v1 = {
      {kCpuUsage, D::kUsage, "cpuacct", "cpuacct.usage"},
      {kMemoryUsage, D::kUsage, "memory", "memory.usage_in_bytes"},
      {kMemoryStat, D::kUsage, "memory", "memory.stat"},
      {kTasks, D::kUsage, "pids", "pids.current"},
      {kCpuStat, D::kAll, "cpu", "cpu.stat"},
      {kCpuTimes, D::kAll, "cpuacct", "cpuacct.stat"},
      {kMemoryMax, D::kAll, "memory", "memory.max_usage_in_bytes"},
      {kMemoryKernel, D::kAll, "memory", "memory.kmem.usage_in_bytes"},
      {kMemoryHits, D::kAll, "memory", "memory.failcnt"},
      {kMemoryEvents, D::kAll, "memory", "memory.oom_control"},
      {kMemoryReservation, D::kAll, "memory", "memory.soft_limit_in_bytes"},
      {kTasksLimit, D::kAll, "pids", "pids.max"},
      {kIo, D::kAll, "blkio", "blkio.throttle.io_service_bytes_recursive"},
      {kIoOperations, D::kAll, "blkio", "blkio.throttle.io_serviced_recursive"},
      {kPids, D::kAll, "memory", "cgroup.procs"},
  };
  static const std::vector<Spec> v2 = {
      {kCpuStat, D::kUsage, "", "cpu.stat"},
      {kMemoryUsage, D::kUsage, "", "memory.current"},
      {kMemoryStat, D::kUsage, "", "memory.stat"},
      {kMemoryLimit, D::kUsage, "", "memory.max"},
      {kSwap, D::kUsage, "", "memory.swap.current"},
      {kSwapLimit, D::kUsage, "", "memory.swap.max"},
      {kTasks, D::kUsage, "", "pids.current"},
      {kCpuPressure, D::kUsage, "", "cpu.pressure"},
      {kMemoryPressure, D::kUsage, "", "memory.pressure"},
      {kIoPressure, D::kUsage, "", "io.pressure"},
      {kMemoryMax, D::kAll, "", "memory.peak"},
      {kMemoryEvents, D::kAll, "", "memory.events"},
      {kMemoryReservation, D::kAll, "", "memory.low"},
      {kTasksLimit, D::kAll, "", "pids.max"},
      {kIo, D::kAll, "", "io.stat"},
      {kPids, D::kAll, "", "cgroup.procs"},
  };
  return mode == CgroupMode::kV2 ? v2 : v1;
}

CgroupMeter::CgroupMeter(const Cgroups& cgroups, std::string path,
                         std::vector<std::string> huge_page_sizes, FdBudget& budget)
    : cgroups_(cgroups),
      path_(std::move(path)),
      huge_page_sizes_(std::move(huge_page_sizes)),
      budget_(budget),
      v2_(cgroups.mode() == CgroupMode::kV2) {}

void CgroupMeter::Close() {
  for (Fd& file : files_) file.Reset();
  huge_.clear();
  open_ = {};
  budget_.Give(std::exchange(taken_, 0));
}

// A controller that is not there has no files; without any file there is no group.
Result<> CgroupMeter::Open(CgroupDetail detail) {
  bool& open = open_[static_cast<size_t>(detail)];
  if (open) return Ok();
  int count = 0;
  for (const Spec& spec : Specs(cgroups_.mode())) {
    if (spec.detail != detail) continue;
    auto file = cgroups_.OpenFile(path_, spec.controller, spec.name);
    if (!file && file.error().code() != Code::kNotFound) return std::move(file.error());
    if (!file) continue;
    files_[spec.file] = std::move(*file);
    ++count;
  }
  if (count == 0 && detail == CgroupDetail::kUsage)
    return Error(Code::kNotFound, StrCat("control group ", path_, " is not there"));
  if (detail == CgroupDetail::kAll) {
    TRY(OpenHuge());
    count += static_cast<int>(2 * huge_.size());
  }
  open = true;
  if (budget_.Take(count)) taken_ += count;
  return Ok();
}

Result<> CgroupMeter::OpenHuge() {
  for (const std::string& size : huge_page_sizes_) {
    const std::string name = StrCat("hugetlb.", size);
    auto usage = cgroups_.OpenFile(path_, "hugetlb", name + (v2_ ? ".current" : ".usage_in_bytes"));
    if (!usage && usage.error().code() == Code::kNotFound) continue;
    if (!usage) return std::move(usage.error());
    Huge huge;
    huge.size = size;
    huge.usage = std::move(*usage);
    if (!v2_)
      huge.max_usage = TRY(cgroups_.OpenFile(path_, "hugetlb", name + ".max_usage_in_bytes"));
    huge_.push_back(std::move(huge));
  }
  return Ok();
}

Result<CgroupUsage> CgroupMeter::Read(CgroupDetail detail) {
  auto read = [&]() -> Result<CgroupUsage> {
    TRY(Open(CgroupDetail::kUsage));
    if (detail == CgroupDetail::kAll) TRY(Open(CgroupDetail::kAll));
    return ReadOpen(detail);
  };
  Result<CgroupUsage> usage = read();
  // Nothing stays open of a group that is gone, nor beyond the budget.
  const int held = (open_[0] ? 1 : 0) + (open_[1] ? 1 : 0);
  if (!usage || (held > 0 && taken_ == 0)) Close();
  return usage;
}

// With `in_pieces` a short read is not the end: cgroup.procs comes a page at a time.
Result<std::string> CgroupMeter::ReadFile(const Fd& fd, bool in_pieces) const {
  constexpr size_t kLimit = 4U << 20;
  std::string bytes;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t n =
        ::pread(fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(bytes.size()));
    if (n < 0 && errno == EINTR) continue;
    // The group was removed; its files remain as long as they are open.
    if (n < 0 && errno == ENODEV)
      return Error(Code::kNotFound, StrCat("control group ", path_, " is not there any more"));
    if (n < 0) return ErrnoError(StrCat("read control group ", path_));
    bytes.append(buffer.data(), static_cast<size_t>(n));
    if (bytes.size() > kLimit)
      return Error(Code::kResourceExhausted,
                   StrCat("control group ", path_, ": a file of more than ", kLimit, " bytes"));
    if (n == 0 || (!in_pieces && static_cast<size_t>(n) < buffer.size())) return bytes;
  }
}

}  // namespace berth::os
