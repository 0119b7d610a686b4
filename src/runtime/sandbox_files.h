// SPDX-License-Identifier: Apache-2.0
// The files that every container of a pod sees: resolv.conf, hosts, hostname. Written once into the
// run directory, before the first container. Pure but for the writing; any thread.
#pragma once

#include <string>

#include "base/result.h"
#include "os/dir_fd.h"
#include "runtime/runtime.h"

namespace berth::runtime {

inline constexpr const char* kResolvConf = "resolv.conf";
inline constexpr const char* kHosts = "hosts";
inline constexpr const char* kHostname = "hostname";
// The engine's copy of the record, beside them and in each container's bundle (Runtime::Remembered).
inline constexpr const char* kRecordFile = "record";
// Which OCI runtime the pod has.
inline constexpr const char* kHandlerFile = "handler";

// Mode 0644, owner the pod's root. `host_etc` is /etc or a fixture: resolv.conf is copied from it when the pod gives
// none, hosts and hostname when the pod has the host's UTS namespace. At most 1 MiB each; a missing
// host file counts as empty.
Result<> WriteSandboxFiles(const os::DirFd& pod, const SandboxSpec& spec,
                           const std::string& host_etc);

}  // namespace berth::runtime
