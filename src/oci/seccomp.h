// SPDX-License-Identifier: Apache-2.0
// The RuntimeDefault system call filter, and Localhost profiles read from their JSON. Pure
// functions; any thread. Form:
// https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/build_spec.h"
#include "oci/capabilities.h"
#include "oci/spec.h"

namespace berth::oci {

inline constexpr size_t kMaxSeccompProfileBytes = 1u << 20;

// What RuntimeDefault lets a container with this bounding set do:
//   allowed  what an unprivileged program needs, and what a held capability stands for
//   EPERM    what a capability that is not held stands for, and a few calls for nobody (io_uring, keys)
//   ENOSYS   the rest: obsolete calls, calls newer than the table or than the OCI runtime's libseccomp (mseal
//            for 2.5.4), and clone3 without SYS_ADMIN, whose flags are in memory where a filter cannot look.
//            A C library then uses the older call; EPERM would make it fail
Seccomp RuntimeDefaultSeccomp(CapabilityMask bounding, Arch arch);

// A profile in the runtime spec's form or in the wider one that Docker and CRI-O read (archMap,
// includes and excludes by caps, arches and minKernel). InvalidArgument naming the place for
// anything not understood: an action, operator, architecture or flag that is unknown, a listener, a
// condition on another thing, no JSON.
Result<Seccomp> ParseSeccompProfile(std::string_view text, CapabilityMask bounding, Arch arch);

// CRI's localhost_ref, before it is opened: absolute, no "..", not empty (CVE-2023-2431).
Result<> CheckLocalhostSeccompPath(std::string_view path);

namespace internal {
// The table, for the test that compares it with the kernel's headers. Names apart by one space.
struct ConditionalCalls {
  std::string_view capability;
  std::string_view calls;
};
std::vector<std::string> AlwaysAllowedCalls(Arch arch);
const std::vector<ConditionalCalls>& CapabilityCalls();
std::vector<std::string> NeverAllowedCalls();
}  // namespace internal

}  // namespace berth::oci
