// SPDX-License-Identifier: Apache-2.0
// From what the kubelet says of a pod to what CNI plugins are told: CNI_ARGS and capability
// arguments (CONVENTIONS.md). Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/cni.h"
#include "runtime/network.h"

namespace berth::runtime {

// "IgnoreUnknown=1;K8S_POD_NAMESPACE=...;K8S_POD_NAME=...;K8S_POD_INFRA_CONTAINER_ID=...;K8S_POD_UID=...".
// InvalidArgument when a value holds ';', '=' or a control character: it could forge another
// argument.
Result<std::string> BuildCniArgs(const PodNetwork& pod);

// Ports without a host port are left out. InvalidArgument for a port out of range, an unknown
// protocol, or a bandwidth annotation that is no Kubernetes quantity.
Result<oci::RuntimeConfig> BuildRuntimeConfig(const PodNetwork& pod);

// A Kubernetes resource quantity ("10M", "1Gi", "1.5e3", "500m" rounds up) as a whole number, not
// negative. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity
Result<uint64_t> ParseQuantity(std::string_view text, std::string_view what);

}  // namespace berth::runtime
