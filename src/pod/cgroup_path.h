// SPDX-License-Identifier: Apache-2.0
// Where a pod's and a container's control groups go, for the cgroupfs and the systemd driver. Pure;
// any thread. Nothing is ever made outside the parent that the kubelet names.
#pragma once

#include <string>

#include "base/result.h"

namespace berth::pod {

struct PodCgroup {
  std::string path;  // cgroupfs: "/kubepods/pod1"; systemd: the slice's name, "kubepods-pod1.slice"
  // Berth makes and removes it: only for a pod that names no parent, cgroupfs driver.
  bool owned = false;
};

// `given` is CRI cgroup_parent; when it is empty, `default_parent` holds one group per pod
// (cgroupfs), or is not used and the pod goes below system.slice (systemd).
Result<PodCgroup> PlanPodCgroup(const std::string& given, const std::string& default_parent,
                                const std::string& sandbox_id, bool systemd);

struct CgroupNames {
  bool systemd = false;
  // As cAdvisor knows CRI-O's: it looks at no others (docs/decisions/0015).
  bool for_cadvisor = false;
};
// linux.cgroupsPath: "<pod>/<id>", or "<slice>:berth:<id>" which crun and runc turn into berth-<id>.scope; for cAdvisor
// "<pod>/crio-<id>" and "<slice>:crio:<id>".
std::string ContainerCgroupsPath(const std::string& pod_cgroup, const std::string& container_id,
                                 const CgroupNames& names);
// The empty group that stands for the pod's network, for cAdvisor; a path as CgroupOf gives it. It is crio-<id>.scope with
// either driver: from that name alone the kubelet takes the id again, which /stats/summary finds the network by
// (extractIDFromCgroupPath in pkg/kubelet/stats/cri_stats_provider.go).
std::string NetworkCgroup(const std::string& pod_cgroup, const std::string& sandbox_id,
                          bool systemd);

// Where the group of a cgroups_path or a pod's group is, below every hierarchy (systemd.slice(5): "a-b.slice" lies in
// "a.slice"):
//   /kubepods/pod1/<id>                          as it is
//   kubepods-burstable-pod1.slice                /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice
//   kubepods-burstable-pod1.slice:berth:<id>     .../berth-<id>.scope
std::string CgroupOf(const std::string& path, bool systemd);

}  // namespace berth::pod
