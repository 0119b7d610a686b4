// SPDX-License-Identifier: Apache-2.0
// Filters compiled once. crun takes a program in place of a filter's rules (annotation run.oci.seccomp_bpf_data, crun(1)),
// which Debian 12's would compile for each container anew; docs/decisions/0016-seccomp-programs.md. Owned by MonitorRuntime;
// any thread. libseccomp: https://github.com/seccomp/libseccomp
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "oci/spec.h"

namespace berth::runtime {

inline constexpr const char* kSeccompProgramAnnotation = "run.oci.seccomp_bpf_data";

// The struct sock_filter's that libseccomp makes of the rules, in the way crun 1.8 to 1.28 feeds them to it: calls that it does
// not know are passed over, a rule with the default action too, and one with several conditions on one argument is as
// many rules. InvalidArgument: an action, operator, architecture or combination that libseccomp refuses.
Result<std::string> CompileSeccomp(const oci::Seccomp& filter);

// A bundle's spec as it was before it was given a program. What cannot be read stays as it is.
std::string WithoutSeccompProgram(std::string spec_json);

class SeccompPrograms {
 public:
  // In base64. Compiled by the first who asks; the others wait.
  Result<std::shared_ptr<const std::string>> Get(const oci::Seccomp& filter);

 private:
  // The few that a node has: one for each set of capabilities and each Localhost profile in use.
  static constexpr size_t kMost = 16;
  using Entry = std::pair<oci::Seccomp, std::shared_ptr<const std::string>>;
  Guarded<std::vector<Entry>> entries_;  // the latest used is the last
};

}  // namespace berth::runtime
