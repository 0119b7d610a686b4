// SPDX-License-Identifier: Apache-2.0
#include "pod/plan_resources.h"

#include "base/strings.h"

namespace berth::pod {

oci::PlanResources PlanResourcesOf(const std::optional<LinuxResources>& resources,
                                   const runtime::HostFacts& facts) {
  oci::PlanResources out;
  out.swap_controller = facts.has_swap_limit;
  out.hugetlb_controller = facts.has_hugetlb;
  if (!resources) return out;
  const LinuxResources& in = *resources;
  if (in.cpu_shares != 0) out.cpu_shares = static_cast<uint64_t>(in.cpu_shares);
  if (in.cpu_period != 0) out.cpu_period = static_cast<uint64_t>(in.cpu_period);
  if (in.cpu_quota != 0) out.cpu_quota = in.cpu_quota;
  if (in.memory_limit != 0) out.memory_limit = in.memory_limit;
  if (in.memory_swap_limit != 0) out.memory_swap_limit = in.memory_swap_limit;
  out.oom_score_adj = in.oom_score_adj;
  out.cpuset_cpus = in.cpuset_cpus;
  out.cpuset_mems = in.cpuset_mems;
  for (const auto& [page_size, limit] : in.hugepage_limits) {
    out.hugepage_limits.push_back({page_size, limit});
  }
  out.unified = in.unified;
  return out;
}

Result<> ValidateResources(const LinuxResources& resources, std::string_view who) {
  auto invalid = [&](std::string_view what) {
    return Error(Code::kInvalidArgument, StrCat(who, ": ", what));
  };
  if (resources.cpu_shares < 0) return invalid("cpu_shares is negative");
  if (resources.cpu_period < 0) return invalid("cpu_period is negative");
  if (resources.oom_score_adj < -1000 || resources.oom_score_adj > 1000) {
    return invalid(StrCat("oom_score_adj ", resources.oom_score_adj, " is not from -1000 to 1000"));
  }
  return Ok();
}

LinuxResources MergeResources(const LinuxResources& old, const LinuxResources& asked) {
  LinuxResources out = old;
  auto number = [](int64_t& to, int64_t from) {
    if (from != 0) to = from;
  };
  auto text = [](std::string& to, const std::string& from) {
    if (!from.empty()) to = from;
  };
  number(out.cpu_period, asked.cpu_period);
  number(out.cpu_quota, asked.cpu_quota);
  number(out.cpu_shares, asked.cpu_shares);
  if (asked.memory_limit != 0) {
    out.memory_limit = asked.memory_limit;
    out.memory_swap_limit = 0;
  }
  number(out.memory_swap_limit, asked.memory_swap_limit);
  number(out.oom_score_adj, asked.oom_score_adj);
  text(out.cpuset_cpus, asked.cpuset_cpus);
  text(out.cpuset_mems, asked.cpuset_mems);
  for (const auto& [size, limit] : asked.hugepage_limits) out.hugepage_limits[size] = limit;
  for (const auto& [key, value] : asked.unified) out.unified[key] = value;
  return out;
}

LinuxResources WithLimits(LinuxResources rest, const oci::Resources& limits) {
  rest.cpu_shares = static_cast<int64_t>(limits.cpu.shares.value_or(0));
  rest.cpu_period = static_cast<int64_t>(limits.cpu.period.value_or(0));
  rest.cpu_quota = limits.cpu.quota.value_or(0);
  rest.memory_limit = limits.memory.limit.value_or(0);
  // "No swap" is what BuildResources made of a swap limit that was not given.
  int64_t swap = limits.memory.swap.value_or(0);
  if (rest.memory_swap_limit != 0 || swap != rest.memory_limit) rest.memory_swap_limit = swap;
  rest.cpuset_cpus = limits.cpu.cpus;
  rest.cpuset_mems = limits.cpu.mems;
  return rest;
}

}  // namespace berth::pod
