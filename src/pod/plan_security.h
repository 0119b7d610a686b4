// SPDX-License-Identifier: Apache-2.0
// What of a request's security context depends on the kernel: SELinux labels, AppArmor and seccomp
// profiles. Pure functions; any thread. What the node cannot enforce is an error, never left out.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "oci/build_spec.h"
#include "pod/types.h"
#include "runtime/host.h"

namespace berth::pod {

struct SelinuxLabels {
  std::string process;  // both empty: no label
  std::string mount;
};
Result<SelinuxLabels> PlanSelinux(const SecurityContext& security, const runtime::HostFacts& facts);

// The profile's name for the OCI spec; empty: unconfined. `loaded` are the kernel's profiles. RuntimeDefault, and
// nothing said, are the default profile where it is loaded, and on a kernel without AppArmor nothing; a Localhost
// profile must be there.
Result<std::string> PlanApparmor(const SecurityContext& security, const runtime::HostFacts& facts,
                                 const std::vector<std::string>& loaded);

// `localhost_profile` is the text of the profile that localhost_ref names, already read; empty for
// other kinds.
Result<oci::PlanSeccomp> PlanSeccompProfile(const SecurityContext& security,
                                            const runtime::HostFacts& facts,
                                            std::string localhost_profile);

// The path of the Localhost profile to read, or empty: there is none to read (also for a privileged
// container).
Result<std::string> LocalhostSeccompPath(const SecurityContext& security);

}  // namespace berth::pod
