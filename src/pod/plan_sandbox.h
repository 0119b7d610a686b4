// SPDX-License-Identifier: Apache-2.0
// SandboxPlan: everything that was decided about a pod before anything is done, from the request
// and the node's facts. Pure, so every rule is a table test; any thread. Errors: InvalidArgument or
// Unimplemented naming the field.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "pod/cgroup_path.h"
#include "pod/engine.h"
#include "pod/types.h"
#include "runtime/host.h"
#include "runtime/network.h"
#include "runtime/runtime.h"

namespace berth::pod {

struct SandboxPlan {
  runtime::SandboxSpec spec;
  bool host_network = false;                       // true: no network namespace, no CNI
  std::map<std::string, std::string> net_sysctls;  // set in the new network namespace
  runtime::PodNetwork network;                     // for CNI; unused with host_network
  std::string cgroup_path;
  bool owns_cgroup = false;
  std::optional<os::IdRange> user_range;  // of a user namespace to be made for the pod
};

inline CgroupNames NamesOf(const EngineConfig& engine) {
  return {.systemd = engine.systemd_cgroup, .for_cadvisor = engine.cgroups_for_cadvisor};
}

// `handler` is the resolved name of a configured OCI runtime.
Result<SandboxPlan> PlanSandbox(const std::string& id, const SandboxConfig& config,
                                const std::string& handler, const runtime::HostFacts& facts,
                                const EngineConfig& engine);

// resolv.conf(5); no value when the pod gets a copy of the host's.
std::optional<std::string> ResolvConf(const std::optional<DnsConfig>& dns);

// The name that was asked for; without one the pod's own, which is what the kubelet would have
// sent. A pod with the host's network has the host's name and no UTS namespace: empty unless the
// request says it (for $HOSTNAME).
std::string PodHostname(const SandboxConfig& config);

}  // namespace berth::pod
