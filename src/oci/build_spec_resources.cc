// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "base/strings.h"
#include "oci/build_spec_parts.h"

namespace berth::oci {

namespace {

// CONFIG_NR_CPUS and MAX_NUMNODES are at most 8192 and 1024 on the architectures supported.
constexpr int64_t kMaxCpu = 8191;
constexpr int64_t kMaxNode = 1023;

Error Invalid(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

Result<> CheckCpu(const PlanResources& plan) {
  // cpu.cfs_period_us is from 1 ms to 1 s; a quota below 1 ms is refused by the kernel.
  if (plan.cpu_period && (*plan.cpu_period < 1000 || *plan.cpu_period > 1'000'000)) {
    return Invalid(StrCat("cpu period ", *plan.cpu_period, " us is not from 1000 to 1000000"));
  }
  if (plan.cpu_quota && *plan.cpu_quota != -1 && *plan.cpu_quota < 1000) {
    return Invalid(StrCat("cpu quota ", *plan.cpu_quota, " us is neither -1 nor at least 1000"));
  }
  TRY(CheckCpuList(plan.cpuset_cpus, kMaxCpu, "cpuset cpus"));
  return CheckCpuList(plan.cpuset_mems, kMaxNode, "cpuset mems");
}

Result<MemoryResources> BuildMemory(const PlanResources& plan) {
  MemoryResources memory;
  if (plan.memory_limit && *plan.memory_limit != -1 && *plan.memory_limit <= 0) {
    return Invalid(StrCat("memory limit ", *plan.memory_limit, " is neither -1 nor positive"));
  }
  memory.limit = plan.memory_limit;
  if (!plan.swap_controller || !plan.memory_limit) return memory;
  // Memory and swap together; the same number as the limit leaves no swap.
  int64_t swap = plan.memory_swap_limit.value_or(*plan.memory_limit);
  bool below = *plan.memory_limit == -1 || swap < *plan.memory_limit;
  if (swap != -1 && below) {
    return Invalid(
        StrCat("memory and swap limit ", swap, " is below the memory limit ", *plan.memory_limit));
  }
  memory.swap = swap;
  return memory;
}

// "64KB", "2MB", "1GB", as in the names of /sys/fs/cgroup/hugetlb.*
bool IsPageSize(std::string_view text) {
  if (text.size() < 3 || !text.ends_with('B')) return false;
  char unit = text[text.size() - 2];
  std::string_view number = text.substr(0, text.size() - 2);
  return (unit == 'K' || unit == 'M' || unit == 'G') &&
         ParseInt(number, 1, 1 << 20, "page size").has_value();
}

Result<> CheckUnified(const std::map<std::string, std::string>& unified, bool cgroup_v2) {
  if (!unified.empty() && !cgroup_v2) {
    return Invalid("unified resources need cgroup v2");
  }
  for (const auto& [key, value] : unified) {
    bool is_file = key.find('.') != std::string::npos && key.front() != '.' &&
                   key.find_first_not_of(
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                       "0123456789._-") == std::string::npos;
    // Membership and what the kernel delegates are the runtime's business, not a pod's.
    if (!is_file || key.starts_with("cgroup.")) {
      return Invalid(StrCat("unified resource ", Quote(key), " is not a controller's file"));
    }
    if (value.find('\0') != std::string::npos) {
      return Invalid(StrCat("unified resource ", key, ": contains a zero byte"));
    }
  }
  return Ok();
}

Result<> CheckDevice(const PlanDevice& device) {
  const SpecDevice& node = device.node;
  if (std::string_view("cbup").find(node.type) == std::string_view::npos) {
    return Invalid("type is none of c, b, u, p");
  }
  if (node.type != 'p' && (node.major < 0 || node.minor < 0)) {
    return Invalid("major and minor numbers are needed");
  }
  bool known = device.access.find_first_not_of("rwm") == std::string::npos;
  if (device.access.empty() || !known) {
    return Invalid(StrCat("access ", Quote(device.access), " is not of \"rwm\""));
  }
  return Ok();
}

// Made by the OCI runtime itself, as links into the container's own devpts.
bool IsRuntimesOwn(std::string_view path) {
  return path == "/dev/console" || path == "/dev/ptmx" || path.starts_with("/dev/pts/") ||
         path.starts_with("/dev/shm/") || path.starts_with("/dev/mqueue/");
}

}  // namespace

Result<> CheckCpuList(std::string_view list, int64_t max, std::string_view what) {
  if (list.empty()) return Ok();
  int64_t next = 0;
  for (std::string_view part : Split(list, ',')) {
    size_t dash = part.find('-');
    int64_t first = TRY(ParseInt(part.substr(0, dash), 0, max, what));
    int64_t last = first;
    if (dash != std::string_view::npos) {
      last = TRY(ParseInt(part.substr(dash + 1), 0, max, what));
    }
    if (last < first) return Invalid(StrCat(what, ": ", Quote(list), ": range runs backwards"));
    if (first < next) return Invalid(StrCat(what, ": ", Quote(list), ": not in ascending order"));
    next = last + 1;
  }
  return Ok();
}

Result<Resources> BuildResources(const PlanResources& plan, bool cgroup_v2) {
  Resources out;
  TRY(CheckCpu(plan));
  out.cpu.shares = plan.cpu_shares;
  out.cpu.quota = plan.cpu_quota;
  out.cpu.period = plan.cpu_period;
  out.cpu.cpus = plan.cpuset_cpus;
  out.cpu.mems = plan.cpuset_mems;
  out.memory = TRY(BuildMemory(plan));
  out.pids_limit = plan.pids_limit;
  std::set<std::string> sizes;
  for (const HugepageLimit& limit : plan.hugepage_limits) {
    if (!IsPageSize(limit.page_size) || !sizes.insert(limit.page_size).second) {
      return Invalid(
          StrCat("hugepage size ", Quote(limit.page_size), " is not like \"2MB\", or given twice"));
    }
  }
  if (plan.hugetlb_controller) out.hugepage_limits = plan.hugepage_limits;
  TRY(CheckUnified(plan.unified, cgroup_v2));
  out.unified = plan.unified;
  return out;
}

Result<std::vector<SpecDevice>> BuildDevices(const ContainerPlan& plan) {
  std::vector<SpecDevice> out;
  std::set<std::string> seen;
  for (const PlanDevice& device : plan.devices) {
    std::string context = StrCat("device ", Quote(device.node.path));
    TRY(CheckDevice(device), context);
    SpecDevice node = device.node;
    node.path = TRY(CleanContainerPath(node.path), context);
    if (node.path == "/" || node.path == "/dev") {
      return Invalid(StrCat(context, ": not a place for a device"));
    }
    // All of the host's, for privileged: the first wins where two names became one.
    if (IsRuntimesOwn(node.path) || !seen.insert(node.path).second) continue;
    out.push_back(std::move(node));
  }
  return out;
}

// The OCI runtime adds null, zero, full, random, urandom, tty, console and pts by itself.
Result<std::vector<DeviceRule>> BuildDeviceRules(const ContainerPlan& plan) {
  DeviceRule everything;
  everything.allow = plan.privileged;
  everything.access = "rwm";
  std::vector<DeviceRule> out = {everything};
  if (plan.privileged) return out;
  for (const PlanDevice& device : plan.devices) {
    TRY(CheckDevice(device), StrCat("device ", Quote(device.node.path)));
    if (device.node.type == 'p') continue;
    out.push_back({.allow = true,
                   .type = device.node.type == 'b' ? 'b' : 'c',
                   .major = device.node.major,
                   .minor = device.node.minor,
                   .access = device.access});
  }
  return out;
}

}  // namespace berth::oci
