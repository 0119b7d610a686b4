// SPDX-License-Identifier: Apache-2.0
#include "pod/plan_resources.h"

namespace berth::pod {

oci::PlanResources PlanResourcesOf(const std::optional<LinuxResources>& resources) {
  oci::PlanResources out;
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

}  // namespace berth::pod
