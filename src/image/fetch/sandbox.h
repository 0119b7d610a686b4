// SPDX-License-Identifier: Apache-2.0
// Turns a root process into berth-fetch: no privilege, no host file system, few system calls.
// Called once by main, while the process has one thread and before it has read a byte from outside.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace berth::image::fetch {

struct SandboxOptions {
  uid_t uid = 65534;
  gid_t gid = 65534;
};

// What the process sees afterwards, read-only, nosuid, nodev, noexec:
//   /etc/resolv.conf  /etc/hosts   copies of the host's
//   /etc/nsswitch.conf             "hosts: files dns"; glibc >= 2.34 has both inside libc
// No capabilities (bounding set too), no_new_privs, not dumpable, own mount and ipc namespace,
// rlimits, seccomp. Every step is checked, and the outcome is read back from /proc/self/status: any
// doubt is an error, and the caller must exit. PermissionDenied when not started as root.
Result<> EnterSandbox(const SandboxOptions& options);

// The allow-list (seccomp.cc); everything else is EPERM.
Result<> InstallSeccomp();

// The system's CA bundle (PEM); "" when there is none. Read before the sandbox is entered.
Result<std::string> ReadSystemCa();

}  // namespace berth::image::fetch
