// SPDX-License-Identifier: Apache-2.0
#include "oci/testing/sample_plans.h"

#include "oci/capabilities.h"

namespace berth::oci::testing {

namespace {

using Kind = PlanNamespace::Kind;

PlanMount Volume(const char* host, const char* container) {
  PlanMount mount;
  mount.host_path = host;
  mount.container_path = container;
  return mount;
}

PlanDevice Device(const char* path, char type, int64_t major, int64_t minor) {
  PlanDevice device;
  device.node.path = path;
  device.node.type = type;
  device.node.major = major;
  device.node.minor = minor;
  device.node.file_mode = 0600;
  device.node.uid = 0;
  device.node.gid = 0;
  device.access = "rwm";
  return device;
}

PlanNamespaces PodNamespaces() {
  PlanNamespaces out;
  out.network = {Kind::kPath, "/run/berth/pods/p1/ns/net"};
  out.ipc = {Kind::kPath, "/run/berth/pods/p1/ns/ipc"};
  out.uts = {Kind::kPath, "/run/berth/pods/p1/ns/uts"};
  return out;
}

ContainerPlan BasePlan() {
  ContainerPlan plan;
  plan.id = "5f2d0c8a1b7e4d3f9a6c5b4e3d2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f";
  plan.name = "web";
  plan.rootfs_path = "/run/berth/pods/p1/rootfs";
  plan.image.entrypoint = {"/docker-entrypoint.sh"};
  plan.image.cmd = {"nginx", "-g", "daemon off;"};
  plan.image.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NGINX_VERSION=1.29.0"};
  plan.process.env = {{"KUBERNETES_SERVICE_HOST", "10.96.0.1"}};
  plan.process.home = "/root";
  plan.hostname = "web-0";
  plan.capabilities.available = AllCapabilities();
  plan.namespaces = PodNamespaces();
  plan.cgroups_path =
      "/kubepods/burstable/pod11111111-2222-3333-4444-555555555555/"
      "5f2d0c8a1b7e4d3f9a6c5b4e3d2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f";
  plan.resources.cpu_shares = 102;
  plan.resources.oom_score_adj = 985;
  plan.pod_files.shm = "/run/berth/pods/p1/shm";
  plan.pod_files.resolv_conf = "/run/berth/pods/p1/resolv.conf";
  plan.pod_files.hostname = "/run/berth/pods/p1/hostname";
  plan.pod_files.hosts = "/run/berth/pods/p1/hosts";
  // What the kubelet sends for procMount: Default.
  plan.masked_paths = {"/proc/asound",
                       "/proc/acpi",
                       "/proc/kcore",
                       "/proc/keys",
                       "/proc/latency_stats",
                       "/proc/timer_list",
                       "/proc/timer_stats",
                       "/proc/sched_debug",
                       "/proc/scsi",
                       "/sys/firmware",
                       "/sys/devices/virtual/powercap"};
  plan.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  plan.seccomp.arch = Arch::kAmd64;
  return plan;
}

}  // namespace

std::vector<std::string> AllCapabilities() {
  return CapabilityMask((uint64_t{1} << 41) - 1).Names();
}

ContainerPlan OrdinaryPlan() {
  ContainerPlan plan = BasePlan();
  plan.seccomp.kind = PlanSeccomp::Kind::kRuntimeDefault;
  plan.apparmor_profile = "berth-default";
  plan.host_masked_paths = {"/sys/devices/system/cpu/cpu0/thermal_throttle"};
  plan.resources.cpu_quota = 50000;
  plan.resources.cpu_period = 100000;
  plan.resources.memory_limit = 128 << 20;
  plan.resources.hugepage_limits = {{"2MB", 0}, {"1GB", 0}};
  PlanMount data = Volume("/var/lib/kubelet/pods/p1/volumes/data", "/usr/share/nginx/html");
  PlanMount config = Volume("/var/lib/kubelet/pods/p1/volumes/config", "/etc/nginx");
  config.readonly = true;
  PlanMount hosts = Volume("/var/lib/kubelet/pods/p1/etc-hosts", "/etc/hosts");
  plan.mounts = {data, config, hosts};
  plan.annotations = {{"io.kubernetes.container.name", "web"}};
  return plan;
}

ContainerPlan PrivilegedPlan() {
  ContainerPlan plan = BasePlan();
  plan.name = "agent";
  plan.privileged = true;
  plan.process.command = {"/agent"};
  plan.process.tty = true;
  plan.seccomp.kind = PlanSeccomp::Kind::kRuntimeDefault;  // ignored
  plan.apparmor_profile = "berth-default";                 // ignored
  plan.namespaces.pid.kind = Kind::kHost;
  plan.namespaces.network.kind = Kind::kHost;
  plan.namespaces.uts.kind = Kind::kHost;
  plan.namespaces.cgroup.kind = Kind::kHost;
  plan.devices = {Device("/dev/kmsg", 'c', 1, 11), Device("/dev/loop0", 'b', 7, 0),
                  Device("/dev/ptmx", 'c', 5, 2)};
  PlanMount root = Volume("/", "/host");
  root.propagation = Propagation::kHostToContainer;
  PlanMount plugins = Volume("/var/lib/kubelet/plugins", "/var/lib/kubelet/plugins");
  plugins.propagation = Propagation::kBidirectional;
  plan.mounts = {plugins, root};
  plan.resources.oom_score_adj = -997;
  return plan;
}

ContainerPlan HostNamespacesPlan() {
  ContainerPlan plan = BasePlan();
  plan.name = "exporter";
  plan.process.args = {"--path.procfs=/proc"};
  plan.namespaces.pid.kind = Kind::kHost;
  plan.namespaces.network.kind = Kind::kHost;
  plan.namespaces.ipc.kind = Kind::kHost;
  plan.namespaces.uts.kind = Kind::kHost;
  plan.pod_files.shm = "/dev/shm";
  plan.capabilities.add = {"SYS_TIME", "cap_net_admin"};
  plan.capabilities.drop = {"MKNOD"};
  return plan;
}

ContainerPlan ReadOnlyPlan() {
  ContainerPlan plan = BasePlan();
  plan.name = "restricted";
  plan.readonly_rootfs = true;
  plan.no_new_privileges = true;
  plan.seccomp.kind = PlanSeccomp::Kind::kRuntimeDefault;
  plan.capabilities.drop = {"ALL"};
  plan.capabilities.add = {"NET_BIND_SERVICE"};
  plan.process.user.uid = 1000;
  plan.process.user.gid = 1000;
  plan.process.user.additional_gids = {2000, 1000};
  plan.process.home = "/home/app";
  plan.process.working_dir = "/srv/./app/";
  plan.process.rlimits = {{"RLIMIT_NOFILE", 1024, 4096}};
  plan.devices = {Device("/dev/fuse", 'c', 10, 229)};
  PlanMount data = Volume("/srv/data", "/data");
  data.readonly = true;
  data.recursive_readonly = true;
  plan.mounts = {data};
  plan.resources.memory_limit = 64 << 20;
  plan.resources.memory_swap_limit = 96 << 20;
  plan.resources.unified = {{"memory.high", "60000000"}};
  return plan;
}

ContainerPlan UserNamespacePlan() {
  ContainerPlan plan = BasePlan();
  plan.name = "mapped";
  plan.namespaces.user = {Kind::kPath, "/run/berth/pods/p1/ns/user"};
  plan.namespaces.uid_mappings = {{0, 65536, 65536}};
  plan.namespaces.gid_mappings = {{0, 65536, 65536}};
  PlanMount data = Volume("/srv/data", "/data");
  data.uid_mappings = plan.namespaces.uid_mappings;
  data.gid_mappings = plan.namespaces.gid_mappings;
  plan.mounts = {data};
  return plan;
}

}  // namespace berth::oci::testing
