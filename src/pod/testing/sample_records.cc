// SPDX-License-Identifier: Apache-2.0
#include "pod/testing/sample_records.h"

namespace berth::pod {

std::string TestId(const std::string& start) {
  std::string id = start;
  id.resize(64, '0');
  return id;
}

SandboxConfig MinimalSandboxConfig(const std::string& name) {
  SandboxConfig config;
  config.metadata = {name, "uid-" + name, "default", 0};
  config.log_directory = "/var/log/pods/" + name;
  config.security.namespaces.pid = NamespaceMode::kContainer;
  return config;
}

ContainerConfig MinimalContainerConfig(const std::string& name) {
  ContainerConfig config;
  config.metadata = {name, 0};
  config.image.image = "busybox";
  config.command = {"sleep", "1"};
  config.log_path = name + "/0.log";
  config.security.namespaces.pid = NamespaceMode::kContainer;
  return config;
}

namespace {
LinuxResources FullResources() {
  LinuxResources out;
  out.cpu_period = 100'000, out.cpu_quota = 50'000, out.cpu_shares = 512;
  out.memory_limit = 64 << 20, out.memory_swap_limit = -1, out.oom_score_adj = -997;
  out.cpuset_cpus = "0-1", out.cpuset_mems = "0";
  out.hugepage_limits = {{"2MB", 0xffffffffffffffffULL}};
  out.unified = {{"memory.high", "1"}};
  return out;
}

SecurityContext FullSecurity() {
  SecurityContext out;
  out.namespaces.network = NamespaceMode::kNode;
  out.namespaces.pid = NamespaceMode::kTarget;
  out.namespaces.ipc = NamespaceMode::kNode;
  out.namespaces.target_id = "t";
  out.namespaces.userns = UserNamespace{NamespaceMode::kPod, {{1, 2, 3}}, {{4, 5, 6}}};
  out.selinux = SeLinuxOptions{"u", "r", "t", "l"};
  out.run_as_user = 1, out.run_as_group = 2, out.run_as_username = "n";
  out.supplemental_groups = {3, 4};
  out.strict_supplemental_groups = out.readonly_rootfs = out.privileged = out.no_new_privs = true;
  out.seccomp = SecurityProfile{SecurityProfile::Type::kLocalhost, "/p"};
  out.apparmor = SecurityProfile{SecurityProfile::Type::kUnconfined, ""};
  out.capabilities = {{"A"}, {"B"}, {"C"}};
  out.masked_paths = {"/m"}, out.readonly_paths = {"/r"};
  return out;
}
}  // namespace

SandboxRecord FullSandboxRecord() {
  SandboxRecord out;
  out.id = TestId("a1");
  out.phase = SandboxPhase::kNotReady;
  out.config = MinimalSandboxConfig();
  out.config.hostname = "h";
  out.config.metadata.attempt = 0xffffffff;
  out.config.dns = DnsConfig{{"10.0.0.1"}, {"a.b"}, {"ndots:5"}};
  out.config.port_mappings = {{PortMapping::Protocol::kSctp, 80, 8080, "::"}};
  out.config.labels = {{"l", "\"\n\x01\xc3\xa9"}};
  out.config.annotations = {{"", "empty key"}};
  out.config.cgroup_parent = "/kubepods/p";
  out.config.security = FullSecurity();
  out.config.sysctls = {{"net.a", "1"}};
  out.config.overhead = FullResources(), out.config.resources = FullResources();
  out.handler = "crun", out.created_at = 1, out.boot_id = "b";
  out.network_attached = out.owns_cgroup = out.stopped = true;
  out.cgroup_path = "/berth/a1", out.ips = {"10.0.0.2", "fd00::2"};
  out.handle = runtime::SandboxHandle{7, "f", "i", "u", "p", 8, "s", "r", "h", "n"};
  return out;
}

ContainerRecord FullContainerRecord() {
  ContainerRecord out;
  out.id = TestId("c1"), out.sandbox_id = TestId("a1");
  out.phase = ContainerPhase::kExited;
  out.config = MinimalContainerConfig();
  out.config.image = {"sha256:1", "busybox:1", "crun", {{"a", "b"}}};
  out.config.args = {"x"}, out.config.working_dir = "/w";
  out.config.envs = {{"B", "1"}, {"A", "2"}, {"B", "3"}};
  MountConfig mount;
  mount.container_path = "/c", mount.host_path = "/h";
  mount.readonly = mount.selinux_relabel = mount.recursive_readonly = true;
  mount.propagation = MountConfig::Propagation::kBidirectional;
  mount.uid_mappings = {{1, 2, 3}}, mount.gid_mappings = {{4, 5, 6}};
  mount.image = "i", mount.image_sub_path = "s", mount.mount_options = {"noexec"};
  out.config.mounts = {mount};
  out.config.devices = {{"/dev/x", "/dev/y", "rw"}};
  out.config.cdi_devices = {"v/c=d"};
  out.config.labels = {{"l", "1"}}, out.config.annotations = {{"a", "2"}};
  out.config.stdin_open = out.config.stdin_once = out.config.tty = true;
  out.config.resources = FullResources();
  out.config.security = FullSecurity();
  out.config.stop_signal = 3;
  out.image_id = "sha256:1", out.image_ref = "busybox@sha256:2", out.image_name = "busybox:1";
  out.created_at = 1, out.started_at = 2, out.finished_at = 3, out.exit_code = -1;
  out.reason = "Error", out.message = "m", out.pid = 9, out.stop_signal = 3;
  out.user = {1, 2, {3}};
  out.mount_image_refs = {{"/c", "i@sha256:3"}};
  out.cgroups_path = "/berth/a1/c1", out.log_directory = "/l";
  out.spec_json = R"({"ociVersion":"1.0.2"})";
  return out;
}

}  // namespace berth::pod
