// SPDX-License-Identifier: Apache-2.0
#include "pod/plan_container.h"

#include <algorithm>

#include "base/strings.h"
#include "pod/cgroup_path.h"
#include "pod/plan_resources.h"
#include "pod/plan_sandbox.h"
#include "pod/plan_security.h"
#include "pod/validate.h"

namespace berth::pod {

namespace {

using Kind = oci::PlanNamespace::Kind;

Error Invalid(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

oci::PlanNamespace HostOrPath(const std::string& path) {
  if (path.empty()) return {Kind::kHost, {}};
  return {Kind::kPath, path};
}

Result<oci::PlanNamespace> PlanTargetPid(const ContainerInputs& in) {
  const std::string& id = in.config.security.namespaces.target_id;
  if (id.empty()) return Invalid("namespace_options: pid TARGET without target_id");
  if (!in.target || in.target->sandbox_id != in.sandbox.id) {
    return Invalid(StrCat("namespace_options: target ", Quote(id), " is not a container of pod ",
                          in.sandbox.id));
  }
  if (!in.target->running || in.target->pid <= 0) {
    return Error(Code::kFailedPrecondition,
                 StrCat("namespace_options: target container ", id, " is not running"));
  }
  return oci::PlanNamespace{Kind::kPath, StrCat("/proc/", in.target->pid, "/ns/pid")};
}

// POD is also what a client sends that says nothing, so it means whatever the pod has: the shared
// namespace, the host's, or, in a pod without either, one of the container's own.
Result<oci::PlanNamespace> PlanPid(const ContainerInputs& in) {
  switch (in.config.security.namespaces.pid) {
    case NamespaceMode::kContainer:
      return oci::PlanNamespace{Kind::kNew, {}};
    case NamespaceMode::kNode:
      return oci::PlanNamespace{Kind::kHost, {}};
    case NamespaceMode::kTarget:
      return PlanTargetPid(in);
    case NamespaceMode::kPod:
      break;
  }
  if (in.sandbox.config.security.namespaces.pid == NamespaceMode::kNode) {
    return oci::PlanNamespace{Kind::kHost, {}};
  }
  if (in.sandbox.handle->pid_ns_path.empty()) return oci::PlanNamespace{Kind::kNew, {}};
  return oci::PlanNamespace{Kind::kPath, in.sandbox.handle->pid_ns_path};
}

// The OCI runtime would only say that setuid(2) failed.
Result<> CheckMapped(const image::ResolvedUser& user, uint32_t count) {
  auto check = [&](uint32_t id, const char* what) -> Result<> {
    if (id < count) return Ok();
    return Invalid(
        StrCat(what, " ", id, " is not in the pod's user namespace, which ends at ", count - 1));
  };
  TRY(check(user.uid, "user"));
  TRY(check(user.gid, "group"));
  for (uint32_t group : user.additional_gids) TRY(check(group, "group"));
  return Ok();
}

// Network, IPC and UTS are the pod's, whatever the container's own options say: CRI leaves no other
// choice.
Result<oci::PlanNamespaces> PlanNamespacesOf(const ContainerInputs& in) {
  const runtime::SandboxHandle& handle = *in.sandbox.handle;
  const NamespaceOptions& pod = in.sandbox.config.security.namespaces;
  oci::PlanNamespaces out;
  out.pid = TRY(PlanPid(in));
  out.network = HostOrPath(pod.network == NamespaceMode::kNode ? "" : in.net_ns_path);
  out.ipc = HostOrPath(handle.ipc_ns_path);
  out.uts = HostOrPath(handle.uts_ns_path);
  out.mount = {Kind::kNew, {}};
  if (HasUserNamespace(pod)) {
    const IdMapping& map = pod.userns->uids.front();
    out.user = {Kind::kPath, handle.user_ns_path};
    out.uid_mappings = {{map.container_id, map.host_id, map.length}};
    out.gid_mappings = out.uid_mappings;
    TRY(CheckMapped(in.user, map.length));
  }
  bool own_cgroup_ns = in.facts.cgroup_v2 && !in.config.security.privileged;
  out.cgroup = {own_cgroup_ns ? Kind::kNew : Kind::kHost, {}};
  return out;
}

Result<oci::PlanMount> PlanOneMount(const MountConfig& mount, const ResolvedMount& resolved,
                                    const runtime::HostFacts& facts,
                                    const runtime::HandlerInfo& handler) {
  using P = MountConfig::Propagation;
  std::string who = StrCat("mount ", Quote(mount.container_path));
  // mount_namespaces(7): what a mount namespace of another user namespace copies becomes a slave.
  if (mount.propagation == P::kBidirectional && !mount.uid_mappings.empty()) {
    return Invalid(StrCat(who, ": bidirectional propagation is not possible in a user namespace"));
  }
  // mount_namespaces(7): events travel only where the host's mount is a member of the peer group,
  // or a slave of one.
  bool shared = resolved.propagation == "shared";
  if (mount.propagation == P::kBidirectional && !shared) {
    return Invalid(StrCat(who, ": bidirectional propagation needs ", mount.host_path,
                          " on a shared mount; it is ", resolved.propagation));
  }
  if (mount.propagation == P::kHostToContainer && !shared && resolved.propagation != "slave") {
    return Invalid(StrCat(who, ": host-to-container propagation needs ", mount.host_path,
                          " on a shared or slave mount; it is ", resolved.propagation));
  }
  if (mount.selinux_relabel && facts.has_selinux) {
    return Error(Code::kUnimplemented, StrCat(who, ": SELinux relabelling is not supported yet"));
  }
  if (mount.recursive_readonly && !handler.recursive_read_only) {
    return Error(Code::kFailedPrecondition,
                 StrCat(who, ": recursive_read_only: runtime handler ", Quote(handler.name),
                        " does not support it (RROUnsupported)"));
  }
  oci::PlanMount out;
  out.container_path = mount.container_path;
  out.host_path = resolved.source;
  // A volume with shifted ids is a mount of ours that has them already.
  const bool restricted = !mount.uid_mappings.empty() && mount.image.empty();
  out.readonly = mount.readonly && !restricted;
  out.recursive_readonly = mount.recursive_readonly && !restricted;
  if (mount.propagation == P::kBidirectional) out.propagation = oci::Propagation::kBidirectional;
  if (mount.propagation == P::kHostToContainer) {
    out.propagation = oci::Propagation::kHostToContainer;
  }
  if (!restricted) out.options = mount.mount_options;
  if (!mount.image.empty()) {
    for (const char* option : {"nosuid", "nodev"}) {
      if (std::count(out.options.begin(), out.options.end(), option) == 0) {
        out.options.emplace_back(option);
      }
    }
  }
  return out;
}

// The pod's files, but not those over which the request mounts its own (the kubelet brings its
// /etc/hosts).
oci::PlanPodFiles PlanFiles(const ContainerInputs& in) {
  const runtime::SandboxHandle& handle = *in.sandbox.handle;
  bool host_ipc = in.sandbox.config.security.namespaces.ipc == NamespaceMode::kNode;
  oci::PlanPodFiles files;
  files.shm = host_ipc ? "/dev/shm" : handle.shm_path;
  files.resolv_conf = handle.resolv_conf_path;
  files.hosts = handle.hosts_path;
  files.hostname = handle.hostname_path;
  for (const MountConfig& mount : in.config.mounts) {
    std::string_view path = mount.container_path;
    while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
    if (path == "/dev/shm") files.shm.clear();
    if (path == "/etc/resolv.conf") files.resolv_conf.clear();
    if (path == "/etc/hosts") files.hosts.clear();
    if (path == "/etc/hostname") files.hostname.clear();
  }
  return files;
}

void PlanProcessParts(const ContainerInputs& in, oci::ContainerPlan& plan) {
  plan.image.entrypoint = in.image.process.entrypoint;
  plan.image.cmd = in.image.process.cmd;
  plan.image.env = in.image.process.env;
  plan.image.working_dir = in.image.process.working_dir;
  plan.process.command = in.config.command;
  plan.process.args = in.config.args;
  plan.process.env = in.config.envs;
  plan.process.working_dir = in.config.working_dir;
  plan.process.tty = in.config.tty;
  plan.process.user.uid = in.user.uid;
  plan.process.user.gid = in.user.gid;
  plan.process.user.additional_gids = in.user.additional_gids;
  plan.process.home = in.user.home;
}

Result<> PlanSecurityParts(const ContainerInputs& in, oci::ContainerPlan& plan) {
  const SecurityContext& security = in.config.security;
  plan.privileged = security.privileged;
  plan.no_new_privileges = security.no_new_privs;
  plan.readonly_rootfs = security.readonly_rootfs;
  plan.capabilities.add = security.capabilities.add;
  plan.capabilities.drop = security.capabilities.drop;
  plan.capabilities.add_ambient = security.capabilities.add_ambient;
  plan.capabilities.available = in.facts.capabilities;
  plan.masked_paths = security.masked_paths;
  plan.readonly_paths = security.readonly_paths;
  SelinuxLabels labels = TRY(PlanSelinux(security, in.facts));
  plan.selinux_process_label = labels.process;
  plan.selinux_mount_label = labels.mount;
  plan.apparmor_profile = TRY(PlanApparmor(security, in.facts, in.apparmor_profiles));
  plan.seccomp = TRY(PlanSeccompProfile(security, in.facts, in.seccomp_profile));
  return Ok();
}

}  // namespace

image::UserQuery MakeUserQuery(const ContainerConfig& config, const image::FoundImage& image) {
  const SecurityContext& security = config.security;
  image::UserQuery query;
  query.user = image.process.user;
  query.uid = security.run_as_user;
  if (!security.run_as_username.empty()) query.username = security.run_as_username;
  query.gid = security.run_as_group;
  query.supplemental_groups = security.supplemental_groups;
  query.strict_groups = security.strict_supplemental_groups;
  return query;
}

std::string ImageRefOf(const image::FoundImage& image) {
  return image.info.digests.empty() ? image.info.id : image.info.digests.front();
}

Result<int> StopSignalOf(const ContainerConfig& config, const image::FoundImage& image) {
  if (config.stop_signal != 0) return config.stop_signal;
  return TRY(ParseStopSignal(image.process.stop_signal), "image");
}

StringMap AllowedAnnotations(const EngineConfig& engine, const std::string& handler,
                             const StringMap& pod, const StringMap& container) {
  StringMap out;
  auto allowed = engine.allowed_annotations.find(handler);
  if (allowed == engine.allowed_annotations.end()) return out;
  for (const std::string& key : allowed->second) {
    for (const StringMap* from : {&container, &pod}) {
      auto found = from->find(key);
      if (found != from->end()) out.insert(*found);
    }
  }
  return out;
}

Result<oci::ContainerPlan> PlanContainer(const ContainerInputs& in) {
  std::string who = StrCat("container ", Quote(in.config.metadata.name));
  TRY(ValidateContainerConfig(in.config, in.sandbox.config));
  if (!in.sandbox.handle || in.mounts.size() != in.config.mounts.size()) {
    return Error(Code::kInternal, StrCat(who, ": planned before its pod or mounts were resolved"));
  }
  oci::ContainerPlan plan;
  plan.id = in.id;
  plan.name = in.config.metadata.name;
  plan.rootfs_path = in.rootfs_path;
  PlanProcessParts(in, plan);
  plan.hostname = PodHostname(in.sandbox.config);
  TRY(PlanSecurityParts(in, plan), who);
  for (size_t i = 0; i < in.mounts.size(); ++i) {
    plan.mounts.push_back(
        TRY(PlanOneMount(in.config.mounts[i], in.mounts[i], in.facts, in.handler), who));
  }
  plan.devices = in.devices;
  plan.pod_files = PlanFiles(in);
  plan.has_mqueue = in.facts.has_mqueue;
  plan.namespaces = TRY(PlanNamespacesOf(in), who);
  plan.cgroups_path = ContainerCgroupsPath(in.sandbox.cgroup_path, in.id, NamesOf(in.engine));
  plan.cgroup_v2 = in.facts.cgroup_v2;
  plan.resources = PlanResourcesOf(in.config.resources, in.facts);
  plan.min_oom_score_adj = in.facts.oom_score_adj_floor;
  plan.annotations = AllowedAnnotations(in.engine, in.sandbox.handler,
                                        in.sandbox.config.annotations, in.config.annotations);
  // crun tells systemd few of the limits, and a daemon-reload undoes the rest in the scope; in a group
  // inside it, which is its releases' default or not, systemd changes nothing.
  if (in.engine.systemd_cgroup)
    plan.runtime_annotations["run.oci.systemd.subgroup"] = runtime::kScopeSubgroup;
  return plan;
}

}  // namespace berth::pod
