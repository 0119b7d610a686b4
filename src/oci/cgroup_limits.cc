// SPDX-License-Identifier: Apache-2.0
#include "oci/cgroup_limits.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/strings.h"

namespace berth::oci {

namespace {

constexpr uint64_t kMinShares = 2, kMaxShares = 262144;
// cgroup v1 shows "no limit" as the last page below 2^63.
constexpr int64_t kV1Unlimited = INT64_MAX - 65535;
constexpr int64_t kDefaultPeriod = 100'000;

Error Unreadable(std::string_view file, std::string_view text) {
  return Error(Code::kInvalidArgument,
               StrCat("control group file ", file, ": ", Quote(text), " is not a limit"));
}

// A number, or -1 for "max" and for cgroup v1's way to say so.
Result<int64_t> Number(std::string_view file, std::string_view text) {
  if (text == "max") return int64_t{-1};
  Result<int64_t> value = ParseInt(text, -1, INT64_MAX, file);
  if (!value) return Unreadable(file, text);
  return *value >= kV1Unlimited ? int64_t{-1} : *value;
}

Result<std::optional<int64_t>> Find(const CgroupFiles& files, const std::string& file) {
  auto found = files.find(file);
  if (found == files.end()) return std::optional<int64_t>();
  return std::optional(TRY(Number(file, TrimSpace(found->second))));
}

int64_t PageFloor(int64_t bytes) {
  static const int64_t kPage = ::sysconf(_SC_PAGESIZE);
  return bytes < 0 ? bytes : bytes - bytes % kPage;
}

std::string MaxOr(int64_t value) { return value < 0 ? "max" : std::to_string(value); }

// What the group has, in cgroup v1's terms; absent: there is no such file.
struct Limits {
  std::optional<int64_t> shares, weight, quota, period, memory, swap;
};

Result<Limits> Read(const CgroupFiles& files, bool cgroup_v2) {
  Limits out;
  if (!cgroup_v2) {
    out.shares = TRY(Find(files, "cpu.shares"));
    out.quota = TRY(Find(files, "cpu.cfs_quota_us"));
    out.period = TRY(Find(files, "cpu.cfs_period_us"));
    out.memory = TRY(Find(files, "memory.limit_in_bytes"));
    out.swap = TRY(Find(files, "memory.memsw.limit_in_bytes"));
    return out;
  }
  out.weight = TRY(Find(files, "cpu.weight"));
  if (auto cpu = files.find("cpu.max"); cpu != files.end()) {
    std::vector<std::string_view> words = Split(TrimSpace(cpu->second), ' ');
    if (words.size() != 2) return Unreadable("cpu.max", cpu->second);
    out.quota = TRY(Number("cpu.max", words[0]));
    out.period = TRY(Number("cpu.max", words[1]));
  }
  out.memory = TRY(Find(files, "memory.max"));
  // Swap alone there, memory and swap together in the runtime spec.
  std::optional<int64_t> swap = TRY(Find(files, "memory.swap.max"));
  if (swap && out.memory) {
    bool sum = *swap >= 0 && *out.memory >= 0 && *swap <= INT64_MAX - *out.memory;
    out.swap = sum ? *swap + *out.memory : -1;
  }
  return out;
}

bool WeightIs(uint64_t shares, std::optional<int64_t> weight) {
  if (!weight || *weight < 0) return false;
  auto actual = static_cast<uint64_t>(*weight);
  return actual == WeightOfShares(shares) || actual == CurvedWeightOfShares(shares);
}

bool SharesAre(uint64_t shares, const Limits& limits) {
  if (limits.weight) return WeightIs(shares, limits.weight);
  uint64_t kept = std::clamp(shares, kMinShares, kMaxShares);
  return limits.shares && static_cast<uint64_t>(*limits.shares) == kept;
}

bool Is(int64_t asked, std::optional<int64_t> actual) { return actual && *actual == asked; }
bool IsBytes(int64_t asked, std::optional<int64_t> actual) {
  return actual && PageFloor(*actual) == PageFloor(asked);
}

// v1: both files in bytes. v2: the difference.
void MissingMemory(const MemoryResources& asked, const Limits& limits, bool cgroup_v2,
                   CgroupFiles& out) {
  if (asked.limit && !IsBytes(*asked.limit, limits.memory)) {
    out[cgroup_v2 ? "memory.max" : "memory.limit_in_bytes"] =
        cgroup_v2 ? MaxOr(*asked.limit) : std::to_string(*asked.limit);
  }
  if (!asked.swap || IsBytes(*asked.swap, limits.swap)) return;
  if (!cgroup_v2) {
    out["memory.memsw.limit_in_bytes"] = std::to_string(*asked.swap);
    return;
  }
  int64_t memory = asked.limit.value_or(limits.memory.value_or(-1));
  bool difference = *asked.swap >= 0 && memory >= 0 && *asked.swap >= memory;
  out["memory.swap.max"] = difference ? std::to_string(*asked.swap - memory) : "max";
}

void MissingCpu(const CpuResources& asked, const Limits& limits, bool cgroup_v2, CgroupFiles& out) {
  if (asked.shares && !SharesAre(*asked.shares, limits)) {
    if (cgroup_v2) {
      out["cpu.weight"] = std::to_string(WeightOfShares(*asked.shares));
    } else {
      out["cpu.shares"] = std::to_string(*asked.shares);
    }
  }
  bool quota = asked.quota && !Is(*asked.quota, limits.quota);
  bool period = asked.period && !Is(static_cast<int64_t>(*asked.period), limits.period);
  if (cgroup_v2) {
    if (!quota && !period) return;
    int64_t us = asked.quota.value_or(limits.quota.value_or(-1));
    int64_t per =
        asked.period ? static_cast<int64_t>(*asked.period) : limits.period.value_or(kDefaultPeriod);
    out["cpu.max"] = StrCat(MaxOr(us), " ", per);
    return;
  }
  if (quota) out["cpu.cfs_quota_us"] = std::to_string(*asked.quota);
  if (period) out["cpu.cfs_period_us"] = std::to_string(*asked.period);
}

// "0,1" is read back as "0-1": compared as sets.
std::vector<int64_t> CpuSet(std::string_view list) {
  constexpr int64_t kMost = 8191;
  std::vector<int64_t> out;
  for (std::string_view part : Split(TrimSpace(list), ',')) {
    size_t dash = part.find('-');
    Result<int64_t> first = ParseInt(part.substr(0, dash), 0, kMost, "cpuset");
    Result<int64_t> last = dash == std::string_view::npos
                               ? ParseInt(part, 0, kMost, "cpuset")
                               : ParseInt(part.substr(dash + 1), 0, kMost, "cpuset");
    if (!first || !last) return {-1};
    for (int64_t i = *first; i <= *last; ++i) out.push_back(i);
  }
  return out;
}

void MissingText(const std::string& file, const std::string& asked, const CgroupFiles& actual,
                 CgroupFiles& out) {
  if (asked.empty()) return;
  auto found = actual.find(file);
  if (found != actual.end() && CpuSet(found->second) == CpuSet(asked)) return;
  out[file] = asked;
}

std::string HugetlbFile(const std::string& page_size, bool cgroup_v2) {
  return StrCat("hugetlb.", page_size, cgroup_v2 ? ".max" : ".limit_in_bytes");
}

// The kernel rounds down to whole huge pages: a limit of less than one page is none.
bool IsHugetlb(uint64_t asked, int64_t actual) {
  constexpr uint64_t kSmallest = 64U << 10;
  if (actual < 0) return asked >= static_cast<uint64_t>(kV1Unlimited);
  auto now = static_cast<uint64_t>(actual);
  return now == asked || (now < asked && asked - now < kSmallest);
}

}  // namespace

std::string_view ControllerOf(std::string_view file) { return file.substr(0, file.find('.')); }

uint64_t WeightOfShares(uint64_t shares) {
  shares = std::clamp(shares, kMinShares, kMaxShares);
  return 1 + (shares - 2) * 9999 / 262142;
}

uint64_t CurvedWeightOfShares(uint64_t shares) {
  shares = std::clamp(shares, kMinShares, kMaxShares);
  // 10^(l^2/612 + 125 l/612 - 7/34) with l = log2(shares): 2 -> 1, 1024 -> 100, 262144 -> 10000.
  double l = std::log2(static_cast<double>(shares));
  double exponent = (l * l + 125 * l) / 612.0 - 7.0 / 34.0;
  return static_cast<uint64_t>(std::clamp(std::ceil(std::pow(10, exponent)), 1.0, 10000.0));
}

uint64_t SharesOfWeight(uint64_t weight) {
  weight = std::clamp<uint64_t>(weight, 1, 10000);
  // Rounded up, so that the weight of the answer is `weight` again.
  return 2 + ((weight - 1) * 262142 + 9998) / 9999;
}

std::vector<std::string> LimitFiles(const Resources& asked, bool cgroup_v2) {
  std::vector<std::string> out =
      cgroup_v2 ? std::vector<std::string>{"cpu.weight", "cpu.max", "memory.max", "memory.swap.max"}
                : std::vector<std::string>{"cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us",
                                           "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"};
  if (!asked.cpu.cpus.empty()) out.emplace_back("cpuset.cpus");
  if (!asked.cpu.mems.empty()) out.emplace_back("cpuset.mems");
  for (const HugepageLimit& limit : asked.hugepage_limits) {
    out.push_back(HugetlbFile(limit.page_size, cgroup_v2));
  }
  for (const auto& [file, value] : asked.unified) {
    if (std::find(out.begin(), out.end(), file) == out.end()) out.push_back(file);
  }
  return out;
}

Result<CgroupFiles> MissingLimits(const Resources& asked, const CgroupFiles& actual,
                                  bool cgroup_v2) {
  CgroupFiles out;
  Limits limits = TRY(Read(actual, cgroup_v2));
  MissingCpu(asked.cpu, limits, cgroup_v2, out);
  MissingMemory(asked.memory, limits, cgroup_v2, out);
  MissingText("cpuset.cpus", asked.cpu.cpus, actual, out);
  MissingText("cpuset.mems", asked.cpu.mems, actual, out);
  for (const HugepageLimit& limit : asked.hugepage_limits) {
    const std::string file = HugetlbFile(limit.page_size, cgroup_v2);
    std::optional<int64_t> now = TRY(Find(actual, file));
    // A size that this kernel does not have is limited to nothing already.
    if (!now || IsHugetlb(limit.limit, *now)) continue;
    out[file] = std::to_string(limit.limit);
  }
  // `unified` is the OCI runtime's to write and wins over all of the above.
  for (const auto& [file, value] : asked.unified) out.erase(file);
  return out;
}

Result<Resources> ActualLimits(const Resources& known, const CgroupFiles& actual, bool cgroup_v2) {
  Resources out = known;
  Limits limits = TRY(Read(actual, cgroup_v2));
  std::optional<int64_t> weight = limits.weight;
  bool shares_known = known.cpu.shares && SharesAre(*known.cpu.shares, limits);
  if (!shares_known && weight && *weight > 0 && (known.cpu.shares || *weight != 100)) {
    out.cpu.shares = SharesOfWeight(static_cast<uint64_t>(*weight));
  }
  if (!shares_known && limits.shares && (known.cpu.shares || *limits.shares != 1024)) {
    out.cpu.shares = static_cast<uint64_t>(*limits.shares);
  }
  if (limits.quota && (known.cpu.quota || *limits.quota >= 0)) out.cpu.quota = limits.quota;
  if (limits.period && (known.cpu.period || *limits.period != kDefaultPeriod)) {
    out.cpu.period = static_cast<uint64_t>(*limits.period);
  }
  auto bytes = [](const std::optional<int64_t>& was, const std::optional<int64_t>& now) {
    if (!now || (was && IsBytes(*was, now))) return was;
    return was || *now >= 0 ? now : was;
  };
  out.memory.limit = bytes(known.memory.limit, limits.memory);
  out.memory.swap = bytes(known.memory.swap, limits.swap);
  auto text = [&](const std::string& file, std::string& value) {
    auto found = actual.find(file);
    if (value.empty() || found == actual.end()) return;
    if (CpuSet(found->second) != CpuSet(value)) value = TrimSpace(found->second);
  };
  text("cpuset.cpus", out.cpu.cpus);
  text("cpuset.mems", out.cpu.mems);
  return out;
}

}  // namespace berth::oci
