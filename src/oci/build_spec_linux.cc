// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "oci/build_spec_parts.h"
#include "oci/capabilities.h"
#include "oci/defaults.h"
#include "oci/seccomp.h"

namespace berth::oci {

namespace {

using Kind = PlanNamespace::Kind;

Error Invalid(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

Result<> AddNamespace(const PlanNamespace& ns, const char* type, std::vector<SpecNamespace>& out) {
  if (ns.kind == Kind::kHost) return Ok();
  if (ns.kind == Kind::kPath) TRY(CheckHostPath(ns.path, StrCat(type, " namespace")));
  out.push_back({.type = type, .path = ns.kind == Kind::kPath ? ns.path : ""});
  return Ok();
}

Result<> CheckMappings(const std::vector<IdMapping>& mappings, std::string_view what) {
  if (mappings.empty()) return Invalid(StrCat("user namespace: no ", what, " mappings"));
  for (const IdMapping& mapping : mappings) {
    constexpr uint64_t kEnd = uint64_t{1} << 32;
    bool fits = mapping.size > 0 && uint64_t{mapping.container_id} + mapping.size < kEnd &&
                uint64_t{mapping.host_id} + mapping.size < kEnd;
    if (!fits) return Invalid(StrCat("user namespace: ", what, " mapping out of range"));
  }
  return Ok();
}

Result<> CheckUserNamespace(const PlanNamespaces& namespaces) {
  if (namespaces.user.kind == Kind::kHost) {
    if (namespaces.uid_mappings.empty() && namespaces.gid_mappings.empty()) return Ok();
    return Invalid("id mappings without a user namespace");
  }
  // Neither procfs nor mqueue can be mounted for a namespace of the host's from within; Kubernetes
  // refuses both.
  if (namespaces.pid.kind == Kind::kHost || namespaces.ipc.kind == Kind::kHost) {
    return Invalid("user namespace: cannot be combined with the host's pid or ipc namespace");
  }
  TRY(CheckMappings(namespaces.uid_mappings, "uid"));
  return CheckMappings(namespaces.gid_mappings, "gid");
}

Result<std::vector<std::string>> Union(const std::vector<std::string>& wanted,
                                       const std::vector<std::string>& ours) {
  std::vector<std::string> out;
  auto add = [&](std::string path) {
    if (std::find(out.begin(), out.end(), path) == out.end()) out.push_back(std::move(path));
  };
  for (const std::string& path : wanted) {
    std::string clean = TRY(CleanContainerPath(path), "masked or read-only path");
    if (clean == "/" || path[0] != '/') {
      return Invalid(StrCat("masked or read-only path ", Quote(path), " is not absolute"));
    }
    add(std::move(clean));
  }
  for (const std::string& path : ours) add(path);
  return out;
}

bool IsSysctlName(std::string_view name) {
  return !name.empty() && name.find('.') != std::string_view::npos && name.front() != '.' &&
         name.find("..") == std::string_view::npos &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
             "0123456789._-/") == std::string_view::npos;
}

// The namespace that a sysctl belongs to; null for one of the whole node. namespaces(7)
const PlanNamespace* OwnerOf(std::string_view name, const PlanNamespaces& namespaces) {
  static constexpr std::array<std::string_view, 8> kIpc = {
      "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
      "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};
  if (name.starts_with("net.")) return &namespaces.network;
  if (name.starts_with("fs.mqueue.")) return &namespaces.ipc;
  if (std::find(kIpc.begin(), kIpc.end(), name) != kIpc.end()) return &namespaces.ipc;
  return nullptr;
}

Result<std::optional<Seccomp>> BuildSeccomp(const ContainerPlan& plan, CapabilityMask bounding) {
  if (plan.privileged) return std::optional<Seccomp>();
  switch (plan.seccomp.kind) {
    case PlanSeccomp::Kind::kUnconfined:
      break;
    case PlanSeccomp::Kind::kRuntimeDefault:
      return std::optional(RuntimeDefaultSeccomp(bounding, plan.seccomp.arch));
    case PlanSeccomp::Kind::kLocalhost:
      return std::optional(
          TRY(ParseSeccompProfile(plan.seccomp.localhost_profile, bounding, plan.seccomp.arch)));
  }
  return std::optional<Seccomp>();
}

}  // namespace

Result<std::vector<SpecNamespace>> BuildNamespaces(const PlanNamespaces& namespaces) {
  if (namespaces.mount.kind != Kind::kNew) {
    return Invalid("mount namespace: a container always has its own");
  }
  TRY(CheckUserNamespace(namespaces));
  std::vector<SpecNamespace> out;
  TRY(AddNamespace(namespaces.user, "user", out));
  TRY(AddNamespace(namespaces.pid, "pid", out));
  TRY(AddNamespace(namespaces.network, "network", out));
  TRY(AddNamespace(namespaces.ipc, "ipc", out));
  TRY(AddNamespace(namespaces.uts, "uts", out));
  TRY(AddNamespace(namespaces.mount, "mount", out));
  TRY(AddNamespace(namespaces.cgroup, "cgroup", out));
  return out;
}

Result<HiddenPaths> BuildHiddenPaths(const ContainerPlan& plan) {
  HiddenPaths out;
  bool unmasked = plan.masked_paths.empty() && plan.readonly_paths.empty();
  if (plan.privileged || unmasked) return out;
  if (!plan.masked_paths.empty()) {
    std::vector<std::string> ours = DefaultMaskedPaths();
    ours.insert(ours.end(), plan.host_masked_paths.begin(), plan.host_masked_paths.end());
    out.masked = TRY(Union(plan.masked_paths, ours));
  }
  if (!plan.readonly_paths.empty()) {
    out.readonly = TRY(Union(plan.readonly_paths, DefaultReadonlyPaths()));
  }
  return out;
}

// CVE-2022-0811, CVE-2022-0532: never a name or value that could be read as more than one, never
// the node's own.
Result<std::map<std::string, std::string>> BuildSysctls(const ContainerPlan& plan) {
  for (const auto& [name, value] : plan.sysctls) {
    if (!IsSysctlName(name)) return Invalid(StrCat("sysctl name ", Quote(name), " is not valid"));
    if (value.find_first_of(std::string_view("\0\n", 2)) != std::string::npos) {
      return Invalid(StrCat("sysctl ", name, ": value ", Quote(value), " is not one line"));
    }
    const PlanNamespace* owner = OwnerOf(name, plan.namespaces);
    if (owner == nullptr || owner->kind == Kind::kHost) {
      return Invalid(StrCat("sysctl ", name, ": would be set for the whole node"));
    }
  }
  return plan.sysctls;
}

Result<std::map<std::string, std::string>> BuildAnnotations(const ContainerPlan& plan) {
  std::map<std::string, std::string> out = plan.runtime_annotations;
  for (const auto& [key, value] : plan.annotations) {
    if (key.empty()) return Invalid("annotation without a key");
    if (IsDangerousAnnotation(key)) {
      return Invalid(StrCat("annotation ", Quote(key), " is reserved for the runtime"));
    }
    out.emplace(key, value);
  }
  return out;
}

Result<> CheckCgroupsPath(std::string_view path) {
  auto fail = [&](std::string_view problem) {
    return Invalid(StrCat("cgroup path ", Quote(path), ": ", problem));
  };
  if (path.empty()) return fail("is empty");
  if (path.find('\0') != std::string_view::npos) return fail("contains a zero byte");
  if (path[0] == '/') {
    for (std::string_view part : Split(path.substr(1), '/')) {
      if (part.empty() || part == "." || part == "..") return fail("is not clean");
    }
    return Ok();
  }
  // "slice:prefix:name" of the systemd driver.
  std::vector<std::string_view> parts = Split(path, ':');
  if (parts.size() != 3 || parts[2].empty()) return fail("neither absolute nor slice:prefix:name");
  if (path.find('/') != std::string_view::npos || path.find("..") != std::string_view::npos) {
    return fail("not the name of a systemd unit");
  }
  return Ok();
}

Result<SpecLinux> BuildLinux(const ContainerPlan& plan, const CapabilitySets& capabilities) {
  SpecLinux out;
  out.namespaces = TRY(BuildNamespaces(plan.namespaces));
  out.uid_mappings = plan.namespaces.uid_mappings;
  out.gid_mappings = plan.namespaces.gid_mappings;
  TRY(CheckCgroupsPath(plan.cgroups_path));
  out.cgroups_path = plan.cgroups_path;
  out.resources = TRY(BuildResources(plan.resources, plan.cgroup_v2));
  out.resources.devices = TRY(BuildDeviceRules(plan));
  out.devices = TRY(BuildDevices(plan));
  CapabilityMask bounding = TRY(CapabilityMask::FromNames(capabilities.bounding, "bounding set"));
  out.seccomp = TRY(BuildSeccomp(plan, bounding));
  out.sysctl = TRY(BuildSysctls(plan));
  HiddenPaths hidden = TRY(BuildHiddenPaths(plan));
  out.masked_paths = std::move(hidden.masked);
  out.readonly_paths = std::move(hidden.readonly);
  out.rootfs_propagation = BuildRootfsPropagation(plan.mounts);
  out.mount_label = plan.selinux_mount_label;
  return out;
}

}  // namespace berth::oci
