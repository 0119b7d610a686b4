// SPDX-License-Identifier: Apache-2.0
// ContainerPlan: everything that was decided about one container, as plain values; BuildSpec turns it
// into the OCI Spec. Filled by pod/, which has asked the kernel, the image and the request; pure. Any
// thread. Errors: InvalidArgument naming the field, for what a client may not ask.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"

namespace berth::oci {

// What the image's config says (https://github.com/opencontainers/image-spec/blob/main/config.md).
struct PlanImageProcess {
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;  // "NAME=value"
  std::string working_dir;
};

// What the request says. CRI: `command` replaces the entrypoint and drops the image's cmd; `args`
// alone replaces cmd.
struct PlanProcess {
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;  // wins over the image's
  std::string working_dir;                               // empty: the image's, else "/"
  bool tty = false;
  // Resolved: numbers only. additional_gids holds the primary gid too or BuildSpec adds it
  // (CVE-2022-36109).
  SpecUser user;
  // Of the resolved user; empty: "/"; used unless HOME is set by image or request.
  std::string home;
  std::vector<Rlimit> rlimits;
};

struct PlanCapabilities {
  // "ALL", "NET_ADMIN", "cap_net_admin". Order: add ALL, drop ALL, single adds, single drops.
  std::vector<std::string> add;
  std::vector<std::string> drop;
  std::vector<std::string> add_ambient;
  // The daemon's own bounding set ("CAP_CHOWN"...): what privileged and ALL mean. Anything outside
  // is dropped from the defaults, and InvalidArgument when asked for by name.
  std::vector<std::string> available;
  // Empty: kDefaultCapabilities (defaults.h). From the configuration.
  std::vector<std::string> defaults;
};

// The system call tables that a seccomp profile is written for. kOther: of no architecture but the
// kernel's own.
enum class Arch { kAmd64, kArm64, kOther };

constexpr Arch BuildArch() {
#if defined(__x86_64__)
  return Arch::kAmd64;
#elif defined(__aarch64__)
  return Arch::kArm64;
#else
  return Arch::kOther;
#endif
}

struct PlanSeccomp {
  enum class Kind { kUnconfined, kRuntimeDefault, kLocalhost };
  Kind kind = Kind::kUnconfined;
  std::string localhost_profile;  // kLocalhost: the JSON text, already read (seccomp.h: limit)
  Arch arch = BuildArch();
};

enum class Propagation { kPrivate, kHostToContainer, kBidirectional };  // rprivate, rslave, rshared

struct PlanMount {
  std::string container_path;  // absolute, or relative to "/"; cleaned by BuildSpec
  std::string host_path;       // absolute; exists
  bool readonly = false;
  bool recursive_readonly = false;  // needs readonly and kPrivate
  Propagation propagation = Propagation::kPrivate;
  std::vector<std::string> options;     // further bind options, e.g. "noexec"
  std::vector<IdMapping> uid_mappings;  // idmapped volume
  std::vector<IdMapping> gid_mappings;
};

struct PlanDevice {
  SpecDevice node;     // path is the container's; type, numbers and mode from the host's node
  std::string access;  // of "rwm"
};

struct PlanNamespace {
  enum class Kind { kHost, kNew, kPath };
  Kind kind = Kind::kNew;
  std::string path;  // kPath: bind mount or /proc/<pid>/ns/<x>
};

struct PlanNamespaces {
  PlanNamespace pid, network, ipc, uts, mount, cgroup;
  PlanNamespace user{PlanNamespace::Kind::kHost, {}};
  // When user is not kHost. With kPath they are needed too: the OCI runtime checks them.
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
};

// CRI's LinuxContainerResources; 0 means "not given" there, absent here.
struct PlanResources {
  std::optional<uint64_t> cpu_shares;
  std::optional<int64_t> cpu_quota;    // microseconds
  std::optional<uint64_t> cpu_period;  // microseconds
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::optional<int64_t> memory_limit;  // bytes
  // Bytes, memory and swap together; absent with a limit: no swap.
  std::optional<int64_t> memory_swap_limit;
  // False where the kernel has no swap accounting: no swap limit is written.
  bool swap_controller = true;
  // False: no hugetlb controller; limits are left out.
  bool hugetlb_controller = true;
  std::optional<int64_t> oom_score_adj;
  std::optional<int64_t> pids_limit;
  std::vector<HugepageLimit> hugepage_limits;
  std::map<std::string, std::string> unified;  // cgroup v2 only
};

// Files of the pod that are bound into the container; an empty path: no such mount.
struct PlanPodFiles {
  std::string shm;          // -> /dev/shm
  std::string resolv_conf;  // -> /etc/resolv.conf
  std::string hosts;        // -> /etc/hosts
  std::string hostname;     // -> /etc/hostname
};

struct ContainerPlan {
  std::string id;           // 64 hexadecimal characters
  std::string name;         // CRI metadata name; for messages only
  std::string rootfs_path;  // absolute: where the monitor attaches the rootfs
  bool readonly_rootfs = false;

  PlanImageProcess image;
  PlanProcess process;
  // The pod's; also $HOSTNAME. Not on the spec when the uts namespace is the host's.
  std::string hostname;
  std::string domainname;

  bool privileged = false;
  bool no_new_privileges = false;  // only from the request
  PlanCapabilities capabilities;
  PlanSeccomp seccomp;           // ignored when privileged
  std::string apparmor_profile;  // empty: unconfined; ignored when privileged
  std::string selinux_process_label;
  std::string selinux_mount_label;
  // As the request gives them. Both empty: Unmasked was asked for and is honoured; a list that is
  // not empty is united with the defaults and with host_masked_paths. Ignored when privileged.
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  // Masked paths that depend on the host: /sys/devices/system/cpu/cpuN/thermal_throttle for the
  // cpuN that have it.
  std::vector<std::string> host_masked_paths;

  std::vector<PlanMount> mounts;
  std::vector<PlanDevice> devices;  // privileged: all of the host's, resolved by the caller
  PlanPodFiles pod_files;
  bool has_mqueue = true;  // the kernel knows the mqueue file system

  PlanNamespaces namespaces;
  std::string cgroups_path;  // "/kubepods/.../<id>" or, systemd driver, "slice:prefix:name"
  bool cgroup_v2 = true;
  PlanResources resources;
  // A process without CAP_SYS_RESOURCE cannot go below its own oom_score_adj: lower values are
  // raised to this.
  std::optional<int64_t> min_oom_score_adj;
  std::map<std::string, std::string> sysctls;
  // Already filtered by the handler's allow-list; keys with a dangerous prefix are refused all the
  // same.
  std::map<std::string, std::string> annotations;
  // Set by Berth itself (a ready seccomp program for crun, what Kata reads); not checked, win over
  // `annotations`.
  std::map<std::string, std::string> runtime_annotations;
};

// The whole config.json.
Result<Spec> BuildSpec(const ContainerPlan& plan);

// What an exec session runs in a container with this spec: args and tty its own, all else the
// container's; limits and oom_score_adj too, since an exec session is no child of the container's.
// InvalidArgument for an empty command.
Result<SpecProcess> BuildExecProcess(const Spec& container, const std::vector<std::string>& args,
                                     bool tty);

// linux.resources without device rules: for BuildSpec, and for the JSON of an update
// (ResourcesToJson). Validates.
Result<Resources> BuildResources(const PlanResources& plan, bool cgroup_v2);

}  // namespace berth::oci
