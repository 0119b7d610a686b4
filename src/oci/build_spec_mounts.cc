// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "base/strings.h"
#include "oci/build_spec_parts.h"
#include "oci/defaults.h"

namespace berth::oci {

namespace {

using Kind = PlanNamespace::Kind;

Error Invalid(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

void Replace(std::vector<std::string>& options, const char* from, const char* to) {
  std::replace(options.begin(), options.end(), std::string(from), std::string(to));
}

SpecMount Bind(std::string destination, std::string source, std::vector<std::string> options) {
  return {.destination = std::move(destination),
          .type = "bind",
          .source = std::move(source),
          .options = std::move(options),
          .uid_mappings = {},
          .gid_mappings = {}};
}

// A sysfs mount shows the network namespace of the mounter and needs rights over it: in a user
// namespace on the host's network only the host's own /sys can be bound.
void AdaptSys(const ContainerPlan& plan, SpecMount& mount) {
  bool foreign_network =
      plan.namespaces.user.kind != Kind::kHost && plan.namespaces.network.kind == Kind::kHost;
  if (foreign_network) {
    mount = Bind("/sys", "/sys", {"rbind", "rprivate", "nosuid", "noexec", "nodev"});
    mount.options.push_back(plan.privileged ? "rw" : "rro");
  } else if (plan.privileged) {
    Replace(mount.options, "ro", "rw");
  }
}

void AdaptCgroup(const ContainerPlan& plan, SpecMount& mount) {
  if (plan.cgroup_v2 && plan.namespaces.cgroup.kind == Kind::kHost) {
    // A new mount from the host's cgroup namespace would set the options of the whole hierarchy anew
    // (nsdelegate, memory_recursiveprot of the kernel's cgroup-v2.rst), and not all OCI runtimes keep
    // them.
    mount = Bind("/sys/fs/cgroup", "/sys/fs/cgroup",
                 {"bind", "rprivate", "nosuid", "noexec", "nodev", "relatime", "ro"});
  }
  if (plan.privileged) Replace(mount.options, "ro", "rw");
}

std::vector<SpecMount> BaseMounts(const ContainerPlan& plan) {
  std::vector<SpecMount> out;
  for (SpecMount& mount : DefaultMounts()) {
    if (mount.destination == "/dev/mqueue" && !plan.has_mqueue) continue;
    if (mount.destination == "/dev/shm" && !plan.pod_files.shm.empty()) {
      mount = Bind("/dev/shm", plan.pod_files.shm,
                   {"bind", "rprivate", "rw", "nosuid", "noexec", "nodev"});
    }
    if (mount.destination == "/sys") AdaptSys(plan, mount);
    if (mount.destination == "/sys/fs/cgroup") AdaptCgroup(plan, mount);
    out.push_back(std::move(mount));
  }
  const std::string access = plan.readonly_rootfs ? "ro" : "rw";
  auto add_file = [&](const char* destination, const std::string& source) {
    if (source.empty()) return;
    out.push_back(Bind(destination, source, {"bind", "rprivate", access}));
    if (plan.namespaces.user.kind == Kind::kHost) return;
    // From within a user namespace a mount cannot be made anew without what /run has, and runc
    // before 1.1.8 does not look.
    for (const char* option : {"nosuid", "nodev", "noexec"}) {
      out.back().options.emplace_back(option);
    }
  };
  add_file("/etc/hostname", plan.pod_files.hostname);
  add_file("/etc/hosts", plan.pod_files.hosts);
  add_file("/etc/resolv.conf", plan.pod_files.resolv_conf);
  return out;
}

const char* PropagationOption(Propagation propagation) {
  switch (propagation) {
    case Propagation::kPrivate:
      break;
    case Propagation::kHostToContainer:
      return "rslave";
    case Propagation::kBidirectional:
      return "rshared";
  }
  return "rprivate";
}

// A mount on procfs could hide what the OCI runtime and masked paths rely on (CVE-2019-16884,
// CVE-2023-27561): only known leaves, or the host's /proc itself.
Result<> CheckDestination(std::string_view path, const PlanMount& mount) {
  if (path == "/") return Invalid("mount on \"/\": the root of a container cannot be replaced");
  if (path == "/proc" && mount.host_path == "/proc") return Ok();
  if (path == "/proc" || (path.starts_with("/proc/") && !IsMountableProcLeaf(path))) {
    return Invalid(StrCat("mount on ", Quote(path), ": not allowed on procfs"));
  }
  return Ok();
}

// What the other fields say must not be said otherwise here.
Result<> CheckExtraOption(std::string_view option) {
  static const std::set<std::string_view> kKnown = {
      "noexec",     "exec",     "nosuid",      "suid",         "nodev", "dev",         "noatime",
      "nodiratime", "relatime", "strictatime", "norelatime",   "sync",  "nosymfollow", "rnoexec",
      "rnosuid",    "rnodev",   "rnoatime",    "rnosymfollow", "idmap", "ridmap"};
  if (kKnown.contains(option)) return Ok();
  return Invalid(StrCat("option ", Quote(option), " is not supported"));
}

Result<SpecMount> RequestMount(const PlanMount& mount) {
  std::string destination = TRY(CleanContainerPath(mount.container_path));
  TRY(CheckDestination(destination, mount));
  TRY(CheckHostPath(mount.host_path, "mount source"));
  if (mount.recursive_readonly) {
    if (!mount.readonly) return Invalid("recursive read-only needs read-only");
    if (mount.propagation != Propagation::kPrivate) {
      return Invalid("recursive read-only needs private propagation");
    }
  }
  SpecMount out = Bind(std::move(destination), mount.host_path, {"rbind"});
  out.options.push_back(PropagationOption(mount.propagation));
  out.options.push_back(mount.recursive_readonly ? "rro" : mount.readonly ? "ro" : "rw");
  for (const std::string& option : mount.options) {
    TRY(CheckExtraOption(option));
    out.options.push_back(option);
  }
  if (mount.uid_mappings.empty() != mount.gid_mappings.empty()) {
    return Invalid("idmapped mount: uid and gid mappings are needed together");
  }
  out.uid_mappings = mount.uid_mappings;
  out.gid_mappings = mount.gid_mappings;
  return out;
}

// A default on the same place gives way; of those below /dev also under a /dev of the request's.
bool IsOverridden(const SpecMount& base, const std::set<std::string>& requested) {
  if (requested.contains(base.destination)) return true;
  return requested.contains("/dev") && base.destination.starts_with("/dev/");
}

long Depth(const SpecMount& mount) {
  return std::count(mount.destination.begin(), mount.destination.end(), '/');
}

}  // namespace

Result<std::vector<SpecMount>> BuildMounts(const ContainerPlan& plan) {
  std::vector<SpecMount> wanted;
  std::set<std::string> destinations;
  for (const PlanMount& mount : plan.mounts) {
    wanted.push_back(TRY(RequestMount(mount), StrCat("mount ", Quote(mount.container_path))));
    destinations.insert(wanted.back().destination);
  }
  std::vector<SpecMount> out;
  for (SpecMount& base : BaseMounts(plan)) {
    if (!IsOverridden(base, destinations)) out.push_back(std::move(base));
  }
  out.insert(out.end(), wanted.begin(), wanted.end());
  // Parents first, or they would cover their children; among equals the base, then the request's
  // order.
  std::stable_sort(out.begin(), out.end(),
                   [](const SpecMount& a, const SpecMount& b) { return Depth(a) < Depth(b); });
  return out;
}

std::string BuildRootfsPropagation(const std::vector<PlanMount>& mounts) {
  Propagation widest = Propagation::kPrivate;
  for (const PlanMount& mount : mounts) widest = std::max(widest, mount.propagation);
  return PropagationOption(widest);
}

}  // namespace berth::oci
