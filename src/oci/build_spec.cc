// SPDX-License-Identifier: Apache-2.0
#include "oci/build_spec.h"

#include "base/strings.h"
#include "oci/build_spec_parts.h"

namespace berth::oci {

namespace {

// Members that came with runtime spec 1.1.
bool NeedsSpec11(const Spec& spec) {
  if (!spec.domainname.empty()) return true;
  for (const SpecMount& mount : spec.mounts) {
    if (!mount.uid_mappings.empty() || !mount.gid_mappings.empty()) return true;
  }
  return false;
}

Result<Spec> BuildUnnamed(const ContainerPlan& plan) {
  Spec spec;
  TRY(CheckHostPath(plan.rootfs_path, "rootfs"));
  spec.root = {.path = plan.rootfs_path, .readonly = plan.readonly_rootfs};
  spec.process = TRY(BuildProcess(plan));
  // In a namespace that is there the name is set again, to what it is: a runtime with a kernel of its own (gVisor) knows only this.
  if (plan.namespaces.uts.kind != PlanNamespace::Kind::kHost) spec.hostname = plan.hostname;
  if (plan.namespaces.uts.kind == PlanNamespace::Kind::kNew) spec.domainname = plan.domainname;
  spec.mounts = TRY(BuildMounts(plan));
  spec.annotations = TRY(BuildAnnotations(plan));
  spec.linux = TRY(BuildLinux(plan, *spec.process.capabilities));
  if (NeedsSpec11(spec)) spec.oci_version = "1.1.0";
  return spec;
}

}  // namespace

Result<Spec> BuildSpec(const ContainerPlan& plan) {
  if (!IsValidId(plan.id)) {
    return Error(Code::kInvalidArgument, StrCat("container id ", Quote(plan.id), " is not valid"));
  }
  return TRY(BuildUnnamed(plan), StrCat("container ", Quote(plan.name)));
}

}  // namespace berth::oci
