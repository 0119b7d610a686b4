// SPDX-License-Identifier: Apache-2.0
// How berth-unpack locks itself in before it reads a byte: namespaces, pivot into one directory,
// capabilities, seccomp, limits. Each function runs once, in order, in a process with one thread.
// Every step is checked; none has a fallback.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace berth::image::unpack {

// A detached mount of the directory, nosuid, nodev, noexec. Must be made before EnterNamespaces:
// afterwards the directory's mount belongs to another namespace.
Result<os::Fd> CloneDirectory(int dir, bool read_only);

// New mount (private), net, ipc, uts and pid namespaces; the pid namespace holds for children.
// no_new_privs, not dumpable, umask 0.
Result<> EnterNamespaces();

// The root of the world becomes `mount`; the old root is unmounted.
Result<> PivotInto(os::Fd mount);

// Exactly these capabilities (numbers of linux/capability.h), permitted and effective; none
// inheritable, ambient or in the bounding set; root gains none by exec. Verified by reading them
// back.
Result<> KeepCapabilities(const std::vector<int>& keep);

struct ResourceLimits {
  uint64_t memory = 0;  // address space
  uint64_t file_size = 0;
  uint64_t files = 0;
};
Result<> SetResourceLimits(const ResourceLimits& limits);

// What each process may still ask of the kernel; everything else is EPERM.
enum class SyscallSet { kLayer, kSum, kUser, kKeeper };
Result<> FilterSyscalls(SyscallSet set);

}  // namespace berth::image::unpack
