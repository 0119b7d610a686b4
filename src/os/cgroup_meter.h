// SPDX-License-Identifier: Apache-2.0
// Reads what one control group has used, again and again, through descriptors that stay open: a reading
// is a pread(2) a file and opens nothing. Owned by whoever owns the group; one thread at a time.
#pragma once

#include <array>
#include <atomic>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/cgroup.h"
#include "os/cgroup_usage.h"
#include "os/fd.h"

namespace berth::os {

// How many descriptors all meters together may keep. A meter that gets none opens its files for each
// reading and closes them again. Outlives its meters; any thread.
class FdBudget {
 public:
  explicit FdBudget(int limit) : left_(limit) {}
  bool Take(int count);
  void Give(int count) { left_ += count; }
  int left() const { return left_; }

 private:
  std::atomic<int> left_;
};

enum class CgroupDetail {
  kUsage,  // what stats need: v1 four files, v2 ten
  kAll,    // also what metrics need
};

// "2MB", "1GB": the sizes that the kernel has pools of, as the hugetlb controller writes them in its files'
// names. `root` is /sys/kernel/mm/hugepages; none when it is not there.
Result<std::vector<std::string>> HugePageSizes(const std::string& root);

class CgroupMeter {
 public:
  // Opens nothing yet. `cgroups` and `budget` outlive the meter.
  CgroupMeter(const Cgroups& cgroups, std::string path, std::vector<std::string> huge_page_sizes,
              FdBudget& budget);
  ~CgroupMeter() { Close(); }
  CgroupMeter(const CgroupMeter&) = delete;
  CgroupMeter& operator=(const CgroupMeter&) = delete;

  // NotFound when the group is not there, or not there any more.
  Result<CgroupUsage> Read(CgroupDetail detail);
  void Close();
  const std::string& path() const { return path_; }

 private:
  enum File : size_t;
  struct Spec;
  static constexpr size_t kFiles = 21;
  struct Huge {
    std::string size;
    Fd usage, max_usage;
  };
  static const std::vector<Spec>& Specs(CgroupMode mode);

  Result<> Open(CgroupDetail detail);
  Result<> OpenHuge();
  Result<std::string> ReadFile(const Fd& fd, bool in_pieces) const;
  Result<std::string> Text(File file) const;
  Result<std::optional<uint64_t>> Number(File file) const;
  Result<std::optional<Pressure>> ReadPressure(File file) const;
  Result<CgroupUsage> ReadOpen(CgroupDetail detail) const;
  Result<> ReadCpu(CgroupDetail detail, CgroupUsage& usage) const;
  Result<> ReadMemory(CgroupDetail detail, CgroupUsage& usage) const;
  Result<> ReadMemoryDetail(CgroupMemory& memory) const;
  Result<> ReadRest(CgroupUsage& usage) const;

  const Cgroups& cgroups_;
  const std::string path_;
  const std::vector<std::string> huge_page_sizes_;
  FdBudget& budget_;
  const bool v2_;
  std::array<Fd, kFiles> files_;
  std::vector<Huge> huge_;
  std::array<bool, 2> open_{};  // by CgroupDetail
  int taken_ = 0;               // of budget_
};

}  // namespace berth::os
