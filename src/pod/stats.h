// SPDX-License-Identifier: Apache-2.0
// What a pod and a container use, as the engine tells it. Values; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "image/images.h"
#include "pod/types.h"
#include "runtime/stats.h"

namespace berth::pod {

struct ContainerStats {
  std::string id;
  ContainerMetadata metadata;
  StringMap labels, annotations;
  std::optional<runtime::Usage> usage;      // unset unless it runs
  std::optional<image::RootfsUsage> files;  // unset until it was measured
};

struct SandboxStats {
  std::string id;
  PodMetadata metadata;
  StringMap labels, annotations;
  // Of the pod's own control group, which counts whatever is in it; of a pod that shares its group with others,
  // its containers' together. Unset when the pod is not ready, or nothing counts.
  std::optional<runtime::Usage> usage;
  std::optional<runtime::NetworkUsage> network;  // unset with the host's network
  std::vector<ContainerStats> containers;        // those that run
};

// Together: what is a sum of the containers'. Pressure, limits and details are not.
std::optional<runtime::Usage> SumUsage(const std::vector<ContainerStats>& containers);

}  // namespace berth::pod
