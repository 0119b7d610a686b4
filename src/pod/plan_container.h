// SPDX-License-Identifier: Apache-2.0
// PlanContainer: from the request, the image, the pod and the node's facts to the oci::ContainerPlan
// that BuildSpec takes. Pure: whatever had to be looked up is in ContainerInputs. Any thread. Errors:
// InvalidArgument or Unimplemented naming the field; FailedPrecondition for a TARGET that does not run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/images.h"
#include "oci/build_spec.h"
#include "pod/engine.h"
#include "pod/records.h"
#include "pod/types.h"
#include "runtime/host.h"

namespace berth::pod {

struct ResolvedMount {
  std::string source;       // real path on the host, or where the monitor attaches the volume
  std::string propagation;  // of the mount that holds it: "private", "shared", "slave"
};

// The container that namespace mode TARGET names, as the engine knows it.
struct TargetContainer {
  std::string sandbox_id;
  bool running = false;
  int pid = 0;
};

struct ContainerInputs {
  const SandboxRecord& sandbox;
  const ContainerConfig& config;
  const image::FoundImage& image;
  const image::ResolvedUser& user;
  const runtime::HostFacts& facts;
  const EngineConfig& engine;
  std::string id;
  std::string rootfs_path;
  std::string net_ns_path;               // unused when the pod has the host's network
  std::vector<ResolvedMount> mounts;     // one for each of config.mounts
  std::vector<oci::PlanDevice> devices;  // every device, resolved
  std::string seccomp_profile;           // text of the Localhost profile
  std::optional<TargetContainer> target;
  std::vector<std::string> apparmor_profiles = {};  // that the kernel has
  runtime::HandlerInfo handler;                     // what the pod's OCI runtime can do
};

Result<oci::ContainerPlan> PlanContainer(const ContainerInputs& in);

// The name that tells which image it is: a repo digest, else the id. Never empty.
std::string ImageRefOf(const image::FoundImage& image);

// What to ask the image about the user (ValidateContainerConfig has checked the request).
image::UserQuery MakeUserQuery(const ContainerConfig& config, const image::FoundImage& image);

// The signal in force: CRI's, else the image's, else SIGTERM.
Result<int> StopSignalOf(const ContainerConfig& config, const image::FoundImage& image);

// Exactly the keys that are allowed for the handler; the container's win over the pod's
// (CVE-2024-3154, CVE-2023-6476).
StringMap AllowedAnnotations(const EngineConfig& engine, const std::string& handler,
                             const StringMap& pod, const StringMap& container);

}  // namespace berth::pod
