// SPDX-License-Identifier: Apache-2.0
// CRI's LinuxContainerResources as the planner's: 0 means "not given" there, absent here. Pure; any
// thread.
#pragma once

#include <optional>

#include "oci/build_spec.h"
#include "pod/types.h"

namespace berth::pod {

oci::PlanResources PlanResourcesOf(const std::optional<LinuxResources>& resources);

}  // namespace berth::pod
