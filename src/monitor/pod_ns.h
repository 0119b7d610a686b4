// SPDX-License-Identifier: Apache-2.0
// The namespaces that the pod's containers share. IPC and UTS are the monitor's own; a shared PID
// namespace lives as long as its first process, a second `berth-monitor --init`. Used once, by
// Setup.
#pragma once

#include "base/result.h"
#include "monitor/protocol.h"
#include "os/fd.h"

namespace berth::monitor {

// Made by the daemon; invalid: the pod uses the host's user namespace.
struct PodUserNs {
  os::Fd user, ipc, uts;
};
// unshare(2), or setns(2) into those of the pod's user namespace; hostname and the sysctls of the
// IPC namespace. The monitor itself stays in the host's user namespace. InvalidArgument for any
// other sysctl.
Result<> EnterPodNamespaces(const Setup& setup, const PodUserNs& ns);

struct PidNsInit {
  int pid = 0;
  os::Fd pidfd;
};
// Returns when the init runs. It is killed when the monitor dies, and with it everything in the
// namespace. With `user_ns` (-1: none) the namespace belongs to that, and the init runs as its root.
Result<PidNsInit> StartPidNsInit(int user_ns);
// `berth-monitor --init`: reaps until SIGTERM. Returns the exit code.
int RunPidNsInit();
// `berth-monitor --namespaces`: what os::MakeUserNs starts. Returns the exit code.
int RunNamespaceHolder();

}  // namespace berth::monitor
