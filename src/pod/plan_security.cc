// SPDX-License-Identifier: Apache-2.0
#include "pod/plan_security.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::pod {

namespace {
using Type = SecurityProfile::Type;

bool Asks(const SeLinuxOptions& selinux) {
  return !selinux.user.empty() || !selinux.role.empty() || !selinux.type.empty() ||
         !selinux.level.empty();
}

const std::string& Or(const std::string& given, const std::string& otherwise) {
  return given.empty() ? otherwise : given;
}
}  // namespace

Result<SelinuxLabels> PlanSelinux(const SecurityContext& security,
                                  const runtime::HostFacts& facts) {
  if (!security.selinux || !Asks(*security.selinux) || security.privileged) return SelinuxLabels{};
  if (!facts.has_selinux) {
    return Error(Code::kInvalidArgument, "selinux_options: this kernel runs without SELinux");
  }
  const SeLinuxOptions& asked = *security.selinux;
  const std::string level = Or(asked.level, "s0");
  SelinuxLabels labels;
  labels.process = StrCat(Or(asked.user, "system_u"), ":", Or(asked.role, "system_r"), ":",
                          Or(asked.type, "container_t"), ":", level);
  labels.mount = StrCat("system_u:object_r:container_file_t:", level);
  return labels;
}

Result<std::string> PlanApparmor(const SecurityContext& security, const runtime::HostFacts& facts,
                                 const std::vector<std::string>& loaded) {
  const Type type = security.apparmor ? security.apparmor->type : Type::kRuntimeDefault;
  if (type == Type::kUnconfined || security.privileged) return std::string();
  auto has = [&](const std::string& name) {
    return std::find(loaded.begin(), loaded.end(), name) != loaded.end();
  };
  if (type == Type::kRuntimeDefault) {
    const std::string name = runtime::kDefaultApparmorProfile;
    if (!facts.has_apparmor || has(name)) return facts.has_apparmor ? name : std::string();
    // Nobody asked: unconfined, as on a node whose operator has no apparmor_parser.
    if (!security.apparmor) return std::string();
    return Error(Code::kFailedPrecondition,
                 StrCat("apparmor profile: RuntimeDefault: ", name, " is not loaded"));
  }
  if (!facts.has_apparmor) {
    return Error(Code::kInvalidArgument, "apparmor profile: this kernel runs without AppArmor");
  }
  std::string name = security.apparmor->localhost_ref;
  if (name.starts_with("localhost/")) name.erase(0, 10);
  if (name.empty()) return Error(Code::kInvalidArgument, "apparmor profile: the name is empty");
  if (has(name)) return name;
  return Error(Code::kFailedPrecondition,
               StrCat("apparmor profile: ", Quote(name), " is not loaded"));
}

Result<std::string> LocalhostSeccompPath(const SecurityContext& security) {
  if (!security.seccomp || security.privileged) return std::string();
  if (security.seccomp->type != Type::kLocalhost) return std::string();
  std::string path = security.seccomp->localhost_ref;
  if (path.starts_with("localhost/")) path.erase(0, 10);
  if (path.empty() || path[0] != '/') {
    return Error(Code::kInvalidArgument,
                 StrCat("seccomp profile ", Quote(security.seccomp->localhost_ref),
                        " is not an absolute path"));
  }
  return path;
}

Result<oci::PlanSeccomp> PlanSeccompProfile(const SecurityContext& security,
                                            const runtime::HostFacts& facts,
                                            std::string localhost_profile) {
  using Kind = oci::PlanSeccomp::Kind;
  oci::PlanSeccomp plan;
  // Nothing said means unconfined; the kubelet's --seccomp-default says RuntimeDefault.
  if (!security.seccomp || security.privileged) return plan;
  if (security.seccomp->type == Type::kUnconfined) return plan;
  if (!facts.has_seccomp) {
    return Error(Code::kInvalidArgument, "seccomp profile: this kernel runs without seccomp");
  }
  plan.kind = security.seccomp->type == Type::kLocalhost ? Kind::kLocalhost : Kind::kRuntimeDefault;
  plan.localhost_profile = std::move(localhost_profile);
  return plan;
}

}  // namespace berth::pod
