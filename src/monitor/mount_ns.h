// SPDX-License-Identifier: Apache-2.0
// The mount namespace of one OCI runtime call: a copy of the host's as it is now, with the pod's
// own mounts added where only this call sees them. Runs in the forked child of a call, which then
// executes the runtime.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace berth::monitor {

struct MountPlan {
  std::string pod_path;
  std::string container_id;  // whose c/<id>/rootfs gets `rootfs`
  int rootfs = -1;           // detached mount
  std::vector<int> volumes;  // detached mounts: c/<id>/v/<n>
  int shm = -1;              // detached mount, of which a copy is attached at shm/
  // crun refuses hybrid cgroup hosts: the empty cgroup2 beside v1 is unmounted in the copy, after
  // the mount that holds it was made private so that the host does not follow.
  std::vector<std::string> private_paths;
  std::vector<std::string> detach_paths;
};

// Nothing else is changed: volumes keep the propagation that the host gives them
// (mount_namespaces(7)).
Result<> EnterMountNamespace(const MountPlan& plan);

}  // namespace berth::monitor
