// SPDX-License-Identifier: Apache-2.0
// The namespaces that the pod's containers share. IPC and UTS are the monitor's own; a shared PID
// namespace lives as long as its first process, a second `berth-monitor --init`. Used once, by
// Setup.
#pragma once

#include "base/result.h"
#include "monitor/protocol.h"
#include "os/fd.h"

namespace berth::monitor {

// unshare(2), hostname and the sysctls of the IPC namespace. InvalidArgument for any other sysctl.
Result<> EnterPodNamespaces(const Setup& setup);

struct PidNsInit {
  int pid = 0;
  os::Fd pidfd;
};
// Returns when the init runs. It is killed when the monitor dies, and with it everything in the
// namespace.
Result<PidNsInit> StartPidNsInit();
// `berth-monitor --init`: reaps until SIGTERM. Returns the exit code.
int RunPidNsInit();

}  // namespace berth::monitor
