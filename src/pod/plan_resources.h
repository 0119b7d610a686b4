// SPDX-License-Identifier: Apache-2.0
// CRI's LinuxContainerResources as the planner's: 0 means "not given" there, absent here. Pure; any
// thread.
#pragma once

#include <optional>
#include <string_view>

#include "oci/build_spec.h"
#include "pod/types.h"
#include "runtime/host.h"

namespace berth::pod {

oci::PlanResources PlanResourcesOf(const std::optional<LinuxResources>& resources,
                                   const runtime::HostFacts& facts);

// Negative where CRI's number becomes an unsigned one on the way, or out of oom_score_adj's range:
// InvalidArgument. Everything else is checked where the spec is built (oci::BuildResources).
Result<> ValidateResources(const LinuxResources& resources, std::string_view who);

// `old` with what `asked` gives: 0 and empty stay, hugepage sizes and unified keys each for themselves. A memory
// limit without a limit of memory and swap means no swap, as at CreateContainer.
LinuxResources MergeResources(const LinuxResources& old, const LinuxResources& asked);

// The cpu, memory and cpuset values of `limits` in CRI's terms, everything else from `rest`.
LinuxResources WithLimits(LinuxResources rest, const oci::Resources& limits);

}  // namespace berth::pod
