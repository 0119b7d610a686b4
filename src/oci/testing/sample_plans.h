// SPDX-License-Identifier: Apache-2.0
// Plans of typical containers, for golden files and for the tests of those who fill plans. Pure;
// any thread.
#pragma once

#include "oci/build_spec.h"

namespace berth::oci::testing {

// An nginx-like container of an ordinary pod: own namespaces, RuntimeDefault, limits, one volume,
// masked paths.
ContainerPlan OrdinaryPlan();
// Privileged on the host's pid and network namespaces, with all host devices.
ContainerPlan PrivilegedPlan();
// Host network, pid and ipc, unprivileged, no seccomp.
ContainerPlan HostNamespacesPlan();
// Read-only rootfs, non-root user, ALL dropped, no new privileges, recursively read-only volume.
ContainerPlan ReadOnlyPlan();
// In a user namespace with an idmapped volume.
ContainerPlan UserNamespacePlan();

// The 41 capabilities of Linux 5.9 and later.
std::vector<std::string> AllCapabilities();

}  // namespace berth::oci::testing
