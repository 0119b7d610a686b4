// SPDX-License-Identifier: Apache-2.0
// The tables of what a container gets when nothing is asked: capabilities, hidden paths, mounts,
// rlimit names. Constant data behind functions; any thread. Reasons:
// docs/decisions/0003-default-capabilities.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oci/spec.h"

namespace berth::oci {

inline constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// What a container has if the request does not say ALL.
const std::vector<std::string>& DefaultCapabilities();
// The smaller set that an operator may configure instead: no MKNOD, NET_RAW, SYS_CHROOT, SETFCAP,
// AUDIT_WRITE.
const std::vector<std::string>& ReducedCapabilities();

// Paths that are hidden, and that are read-only, in a container that is neither privileged nor
// Unmasked.
const std::vector<std::string>& DefaultMaskedPaths();
const std::vector<std::string>& DefaultReadonlyPaths();

// /proc, /dev, /dev/pts, /dev/shm (tmpfs), /dev/mqueue, /sys, /sys/fs/cgroup, as of an ordinary
// container.
std::vector<SpecMount> DefaultMounts();

// Leaves below /proc on which a request may mount (what lxcfs and the OCI runtimes allow).
bool IsMountableProcLeaf(std::string_view path);

// "RLIMIT_NOFILE": a name of getrlimit(2).
bool IsRlimitName(std::string_view name);

// An annotation that makes crun, runc, Kata or krun do something for whoever wrote it
// (CVE-2024-3154).
bool IsDangerousAnnotation(std::string_view key);

}  // namespace berth::oci
