// SPDX-License-Identifier: Apache-2.0
// The checks on what a client sends that need nothing but the message itself. Pure functions; any
// thread. Errors: InvalidArgument or Unimplemented naming the field.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "pod/types.h"

namespace berth::pod {

Result<> ValidateSandboxConfig(const SandboxConfig& config);
Result<> ValidateContainerConfig(const ContainerConfig& config, const SandboxConfig& sandbox);

// Mode POD, which needs one mapping for users and groups alike, with the container's root in it.
bool HasUserNamespace(const NamespaceOptions& namespaces);
// kNode and unset pass too; CONTAINER and TARGET are refused.
Result<> ValidateUserNamespace(const NamespaceOptions& namespaces);

// "" passes; otherwise relative, and no component is "", "." or ".." (the log file is opened below
// the log directory).
Result<> ValidateLogPath(std::string_view log_path);

struct SplitSysctls {
  std::map<std::string, std::string> net;  // set in the pod's network namespace
  std::map<std::string, std::string> ipc;  // set in its IPC namespace
};
// Sorts the sysctls by namespace. Names come out with dots as separators, as sysctl(8) writes them
// by default. One that belongs to no namespace of the pod would change the host: InvalidArgument.
Result<SplitSysctls> SplitPodSysctls(const StringMap& sysctls, bool host_network, bool host_ipc);

// The number of "SIGTERM", "TERM", "15" or "SIGRTMIN+3" (signal(7)); "" is SIGTERM.
Result<int> ParseStopSignal(std::string_view text);

}  // namespace berth::pod
