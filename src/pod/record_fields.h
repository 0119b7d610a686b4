// SPDX-License-Identifier: Apache-2.0
// The members of every stored type, named once for writing and reading: Fields(archive, value)
// calls archive(name, member) for each. Private to record_codec*.cc. A name is never reused for
// another meaning: old rows keep it.
#pragma once

#include "pod/records.h"
#include "pod/types.h"

namespace berth::pod {

// The last value of each stored enumeration: a larger number in a row is an unreadable row.
inline constexpr int LastOf(NamespaceMode) { return static_cast<int>(NamespaceMode::kTarget); }
inline constexpr int LastOf(SecurityProfile::Type) {
  return static_cast<int>(SecurityProfile::Type::kLocalhost);
}
inline constexpr int LastOf(PortMapping::Protocol) {
  return static_cast<int>(PortMapping::Protocol::kSctp);
}
inline constexpr int LastOf(MountConfig::Propagation) {
  return static_cast<int>(MountConfig::Propagation::kBidirectional);
}
inline constexpr int LastOf(SandboxPhase) { return static_cast<int>(SandboxPhase::kRemoving); }
inline constexpr int LastOf(ContainerPhase) { return static_cast<int>(ContainerPhase::kRemoving); }

template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, PodMetadata>
{
  a("name", v.name), a("uid", v.uid), a("namespace", v.ns), a("attempt", v.attempt);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, ContainerMetadata>
{
  a("name", v.name), a("attempt", v.attempt);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, IdMapping>
{
  a("host_id", v.host_id), a("container_id", v.container_id), a("length", v.length);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, UserNamespace>
{
  a("mode", v.mode), a("uids", v.uids), a("gids", v.gids);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, NamespaceOptions>
{
  a("network", v.network), a("pid", v.pid), a("ipc", v.ipc);
  a("target_id", v.target_id), a("userns", v.userns);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, SecurityProfile>
{
  a("type", v.type), a("localhost_ref", v.localhost_ref);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, SeLinuxOptions>
{
  a("user", v.user), a("role", v.role), a("type", v.type), a("level", v.level);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, Capabilities>
{
  a("add", v.add), a("drop", v.drop), a("add_ambient", v.add_ambient);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, LinuxResources>
{
  a("cpu_period", v.cpu_period), a("cpu_quota", v.cpu_quota), a("cpu_shares", v.cpu_shares);
  a("memory_limit", v.memory_limit), a("memory_swap_limit", v.memory_swap_limit);
  a("oom_score_adj", v.oom_score_adj), a("cpuset_cpus", v.cpuset_cpus);
  a("cpuset_mems", v.cpuset_mems), a("hugepage_limits", v.hugepage_limits);
  a("unified", v.unified);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, DnsConfig>
{
  a("servers", v.servers), a("searches", v.searches), a("options", v.options);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, PortMapping>
{
  a("protocol", v.protocol), a("container_port", v.container_port);
  a("host_port", v.host_port), a("host_ip", v.host_ip);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, SecurityContext>
{
  a("namespaces", v.namespaces), a("selinux", v.selinux), a("run_as_user", v.run_as_user);
  a("run_as_group", v.run_as_group), a("run_as_username", v.run_as_username);
  a("supplemental_groups", v.supplemental_groups);
  a("strict_supplemental_groups", v.strict_supplemental_groups);
  a("readonly_rootfs", v.readonly_rootfs), a("privileged", v.privileged);
  a("no_new_privs", v.no_new_privs), a("seccomp", v.seccomp), a("apparmor", v.apparmor);
  a("capabilities", v.capabilities), a("masked_paths", v.masked_paths);
  a("readonly_paths", v.readonly_paths);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, SandboxConfig>
{
  a("metadata", v.metadata), a("hostname", v.hostname), a("log_directory", v.log_directory);
  a("dns", v.dns), a("port_mappings", v.port_mappings), a("labels", v.labels);
  a("annotations", v.annotations), a("cgroup_parent", v.cgroup_parent);
  a("security", v.security), a("sysctls", v.sysctls), a("overhead", v.overhead);
  a("resources", v.resources);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, MountConfig>
{
  a("container_path", v.container_path), a("host_path", v.host_path), a("readonly", v.readonly);
  a("selinux_relabel", v.selinux_relabel), a("propagation", v.propagation);
  a("uid_mappings", v.uid_mappings), a("gid_mappings", v.gid_mappings);
  a("recursive_readonly", v.recursive_readonly), a("image", v.image);
  a("image_sub_path", v.image_sub_path), a("mount_options", v.mount_options);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, DeviceConfig>
{
  a("container_path", v.container_path), a("host_path", v.host_path);
  a("permissions", v.permissions);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, ImageSpec>
{
  a("image", v.image), a("user_specified_image", v.user_specified_image);
  a("runtime_handler", v.runtime_handler), a("annotations", v.annotations);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, ContainerConfig>
{
  a("metadata", v.metadata), a("image", v.image), a("command", v.command), a("args", v.args);
  a("working_dir", v.working_dir), a("envs", v.envs), a("mounts", v.mounts);
  a("devices", v.devices), a("cdi_devices", v.cdi_devices), a("labels", v.labels);
  a("annotations", v.annotations), a("log_path", v.log_path), a("stdin_open", v.stdin_open);
  a("stdin_once", v.stdin_once), a("tty", v.tty), a("resources", v.resources);
  a("security", v.security), a("stop_signal", v.stop_signal);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, ContainerUser>
{
  a("uid", v.uid), a("gid", v.gid), a("supplemental_groups", v.supplemental_groups);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, runtime::SandboxHandle>
{
  a("monitor_pid", v.monitor_pid), a("user_ns_path", v.user_ns_path);
  a("ipc_ns_path", v.ipc_ns_path);
  a("uts_ns_path", v.uts_ns_path), a("pid_ns_path", v.pid_ns_path);
  a("pid_ns_init", v.pid_ns_init), a("shm_path", v.shm_path);
  a("resolv_conf_path", v.resolv_conf_path), a("hosts_path", v.hosts_path);
  a("hostname_path", v.hostname_path);
}
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, SandboxRecord>
{
  a("id", v.id), a("phase", v.phase), a("config", v.config), a("handler", v.handler);
  a("created_at", v.created_at), a("boot_id", v.boot_id);
  a("network_attached", v.network_attached), a("owns_cgroup", v.owns_cgroup);
  a("cgroup_path", v.cgroup_path), a("ips", v.ips), a("handle", v.handle);
  a("stopped", v.stopped), a("overhead", v.overhead), a("resources", v.resources);
}
// spec_json is stored beside the rest, not in it: it would be escaped a second time.
template <class A, class T>
void Fields(A& a, T& v)
  requires std::is_same_v<std::remove_const_t<T>, ContainerRecord>
{
  a("id", v.id), a("sandbox_id", v.sandbox_id), a("phase", v.phase), a("config", v.config);
  a("image_id", v.image_id), a("image_ref", v.image_ref), a("image_name", v.image_name);
  a("created_at", v.created_at), a("started_at", v.started_at), a("finished_at", v.finished_at);
  a("exit_code", v.exit_code), a("reason", v.reason), a("message", v.message);
  a("pid", v.pid), a("stop_signal", v.stop_signal), a("user", v.user);
  a("cgroups_path", v.cgroups_path), a("log_directory", v.log_directory);
  a("resources", v.resources);
  a("mount_image_refs", v.mount_image_refs);
}

}  // namespace berth::pod
