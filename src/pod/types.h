// SPDX-License-Identifier: Apache-2.0
// What a kubelet asks for and is told, as plain data: the CRI's messages without protobuf
// (k8s.io/cri-api v1). Values; any thread. Field meanings are CRI's; docs of each are in the
// published api.proto.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace berth::pod {

using StringMap = std::map<std::string, std::string>;

struct PodMetadata {
  std::string name, uid, ns;
  uint32_t attempt = 0;
  bool operator==(const PodMetadata&) const = default;
};
struct ContainerMetadata {
  std::string name;
  uint32_t attempt = 0;
  bool operator==(const ContainerMetadata&) const = default;
};

enum class NamespaceMode { kPod = 0, kContainer = 1, kNode = 2, kTarget = 3 };
struct IdMapping {
  uint32_t host_id = 0, container_id = 0, length = 0;
  bool operator==(const IdMapping&) const = default;
};
struct UserNamespace {
  NamespaceMode mode = NamespaceMode::kNode;
  std::vector<IdMapping> uids, gids;
};
struct NamespaceOptions {
  NamespaceMode network = NamespaceMode::kPod;
  NamespaceMode pid = NamespaceMode::kPod;
  NamespaceMode ipc = NamespaceMode::kPod;
  std::string target_id;
  std::optional<UserNamespace> userns;
};

struct SecurityProfile {
  enum class Type { kRuntimeDefault = 0, kUnconfined = 1, kLocalhost = 2 };
  Type type = Type::kRuntimeDefault;
  std::string localhost_ref;
};
struct SeLinuxOptions {
  std::string user, role, type, level;
};
struct Capabilities {
  std::vector<std::string> add, drop, add_ambient;
};
struct LinuxResources {
  int64_t cpu_period = 0, cpu_quota = 0, cpu_shares = 0;
  int64_t memory_limit = 0, memory_swap_limit = 0;
  int64_t oom_score_adj = 0;
  std::string cpuset_cpus, cpuset_mems;
  std::map<std::string, uint64_t> hugepage_limits;  // page size -> bytes
  StringMap unified;
};

struct DnsConfig {
  std::vector<std::string> servers, searches, options;
};
struct PortMapping {
  enum class Protocol { kTcp = 0, kUdp = 1, kSctp = 2 };
  Protocol protocol = Protocol::kTcp;
  int32_t container_port = 0, host_port = 0;
  std::string host_ip;
};

struct SecurityContext {  // LinuxSandboxSecurityContext and LinuxContainerSecurityContext; unused
                          // parts stay unset
  NamespaceOptions namespaces;
  std::optional<SeLinuxOptions> selinux;
  std::optional<int64_t> run_as_user, run_as_group;
  std::string run_as_username;  // containers only
  std::vector<int64_t> supplemental_groups;
  bool strict_supplemental_groups = false;
  bool readonly_rootfs = false;
  bool privileged = false;
  bool no_new_privs = false;               // containers only
  std::optional<SecurityProfile> seccomp;  // unset: unconfined
  std::optional<SecurityProfile> apparmor;
  Capabilities capabilities;  // containers only
  std::vector<std::string> masked_paths, readonly_paths;
};

struct SandboxConfig {
  PodMetadata metadata;
  std::string hostname;
  std::string log_directory;
  std::optional<DnsConfig> dns;
  std::vector<PortMapping> port_mappings;
  StringMap labels, annotations;
  std::string cgroup_parent;
  SecurityContext security;
  StringMap sysctls;
  std::optional<LinuxResources> overhead, resources;
};

struct MountConfig {
  enum class Propagation { kPrivate = 0, kHostToContainer = 1, kBidirectional = 2 };
  std::string container_path, host_path;
  bool readonly = false;
  bool selinux_relabel = false;
  Propagation propagation = Propagation::kPrivate;
  std::vector<IdMapping> uid_mappings, gid_mappings;
  bool recursive_readonly = false;
  std::string image;      // image volume: ImageSpec.image
  std::string image_ref;  // in a status only: the image that was mounted
  std::string image_sub_path;
  std::vector<std::string> mount_options;
};
struct DeviceConfig {
  std::string container_path, host_path, permissions;
};
struct ImageSpec {
  std::string image, user_specified_image, runtime_handler;
  StringMap annotations;
};

struct ContainerConfig {
  ContainerMetadata metadata;
  ImageSpec image;
  std::vector<std::string> command, args;
  std::string working_dir;
  std::vector<std::pair<std::string, std::string>> envs;
  std::vector<MountConfig> mounts;
  std::vector<DeviceConfig> devices;
  std::vector<std::string> cdi_devices;
  StringMap labels, annotations;
  std::string log_path;
  bool stdin_open = false, stdin_once = false, tty = false;
  std::optional<LinuxResources> resources;
  SecurityContext security;
  int stop_signal = 0;  // CRI Signal enum mapped to a number; 0: not set
};

// Exec, Attach and PortForward; the last two only name what is there.
struct ExecOptions {
  std::string container_id;
  std::vector<std::string> command;
  bool tty = false, std_in = false, std_out = false, std_err = false;
};
struct AttachOptions {
  std::string container_id;
  bool tty = false, std_in = false, std_out = false, std_err = false;
};
struct PortForwardOptions {
  std::string sandbox_id;
  std::vector<int32_t> ports;  // CRI's; a client may ask for others when it comes
};

enum class SandboxState { kReady = 0, kNotReady = 1 };
enum class ContainerState { kCreated = 0, kRunning = 1, kExited = 2, kUnknown = 3 };

struct SandboxStatus {
  std::string id;
  PodMetadata metadata;
  SandboxState state = SandboxState::kNotReady;
  int64_t created_at = 0;
  std::string ip;
  std::vector<std::string> additional_ips;
  NamespaceOptions namespaces;
  StringMap labels, annotations;
  std::string runtime_handler;
};

struct ContainerUser {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> supplemental_groups;
};
struct ContainerStatus {
  std::string id, sandbox_id;
  ContainerMetadata metadata;
  ContainerState state = ContainerState::kUnknown;
  int64_t created_at = 0, started_at = 0, finished_at = 0;
  int32_t exit_code = 0;
  ImageSpec image;        // a name a person knows, never empty
  std::string image_ref;  // repo digest, kept after the image is gone
  std::string image_id;
  std::string reason, message;
  StringMap labels, annotations;
  std::vector<MountConfig> mounts;
  std::string log_path;  // absolute
  std::optional<LinuxResources> resources;
  ContainerUser user;
  int stop_signal = 0;  // the one in force
  int pid = 0;          // 0 unless created or running
};

struct SandboxFilter {
  std::string id;  // unique prefix is enough
  std::optional<SandboxState> state;
  StringMap labels;
};
struct ContainerFilter {
  std::string id, sandbox_id;
  std::optional<ContainerState> state;
  StringMap labels;
};

}  // namespace berth::pod
