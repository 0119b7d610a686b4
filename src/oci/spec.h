// SPDX-License-Identifier: Apache-2.0
// The part of the OCI runtime specification (1.0 to 1.2; config.md and config-linux.md of
// https://github.com/opencontainers/runtime-spec) that Berth writes into config.json, as plain values.
// Built by build_spec.h, turned into JSON by spec_json.h. Owned by whoever holds it; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace berth::oci {

// An absent optional is left out of the JSON; so is an empty list or text, unless a comment says
// otherwise.

struct IdMapping {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
  bool operator==(const IdMapping&) const = default;
};

struct SpecUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additional_gids;
  bool operator==(const SpecUser&) const = default;
};

// Names with the CAP_ prefix. All five lists are always written: an empty one is a statement.
struct CapabilitySets {
  std::vector<std::string> bounding;
  std::vector<std::string> effective;
  std::vector<std::string> inheritable;
  std::vector<std::string> permitted;
  std::vector<std::string> ambient;
  bool operator==(const CapabilitySets&) const = default;
};

struct Rlimit {
  std::string type;  // "RLIMIT_NOFILE"
  uint64_t soft = 0;
  uint64_t hard = 0;
  bool operator==(const Rlimit&) const = default;
};

// Also what an exec session runs: ProcessToJson() writes it as process.json.
struct SpecProcess {
  bool terminal = false;
  SpecUser user;
  std::vector<std::string> args;
  std::vector<std::string> env;  // "NAME=value"
  std::string cwd = "/";         // absolute
  // Absent: the OCI runtime decides. BuildSpec always sets it.
  std::optional<CapabilitySets> capabilities;
  bool no_new_privileges = false;
  std::optional<int64_t> oom_score_adj;
  std::vector<Rlimit> rlimits;
  std::string apparmor_profile;
  std::string selinux_label;
  bool operator==(const SpecProcess&) const = default;
};

struct SpecRoot {
  std::string path;  // absolute, or relative to the bundle
  bool readonly = false;
  bool operator==(const SpecRoot&) const = default;
};

struct SpecMount {
  std::string destination;
  std::string type;  // "bind", "proc", "tmpfs", ...
  std::string source;
  std::vector<std::string> options;
  std::vector<IdMapping> uid_mappings;  // idmapped mount (runtime spec 1.1)
  std::vector<IdMapping> gid_mappings;
  bool operator==(const SpecMount&) const = default;
};

struct SpecNamespace {
  std::string type;  // "pid" "network" "ipc" "uts" "mount" "cgroup" "user"
  std::string path;  // empty: a new one
  bool operator==(const SpecNamespace&) const = default;
};

// A node that the OCI runtime makes in the container's /dev.
struct SpecDevice {
  std::string path;
  char type = 'c';  // 'c' 'b' 'u' 'p'
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint32_t> file_mode;  // permission bits
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  bool operator==(const SpecDevice&) const = default;
};

// One rule of the device cgroup.
struct DeviceRule {
  bool allow = false;
  char type = 'a';               // 'a' (all; left out of the JSON), 'c', 'b'
  std::optional<int64_t> major;  // absent: any
  std::optional<int64_t> minor;
  std::string access;  // of "rwm"
  bool operator==(const DeviceRule&) const = default;
};

struct CpuResources {
  std::optional<uint64_t> shares;
  std::optional<int64_t> quota;    // microseconds per period; -1: none
  std::optional<uint64_t> burst;   // microseconds
  std::optional<uint64_t> period;  // microseconds
  std::optional<int64_t> realtime_runtime;
  std::optional<uint64_t> realtime_period;
  std::string cpus;  // "0-3,7"
  std::string mems;
  std::optional<int64_t> idle;
  bool operator==(const CpuResources&) const = default;
};

// Bytes; -1 is unlimited.
struct MemoryResources {
  std::optional<int64_t> limit;
  std::optional<int64_t> reservation;
  std::optional<int64_t> swap;  // memory and swap together, on cgroup v2 too
  std::optional<uint64_t> swappiness;
  std::optional<bool> disable_oom_killer;
  bool operator==(const MemoryResources&) const = default;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  uint64_t limit = 0;     // bytes
  bool operator==(const HugepageLimit&) const = default;
};

struct Resources {
  CpuResources cpu;
  MemoryResources memory;
  std::optional<int64_t> pids_limit;  // -1: none
  std::vector<HugepageLimit> hugepage_limits;
  std::vector<DeviceRule> devices;             // applied in order
  std::map<std::string, std::string> unified;  // cgroup v2 file -> value
  bool operator==(const Resources&) const = default;
};

// linux.seccomp. https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp
struct SeccompArg {
  uint32_t index = 0;
  uint64_t value = 0;
  uint64_t value_two = 0;  // SCMP_CMP_MASKED_EQ: compared with (argument & value)
  std::string op;          // "SCMP_CMP_EQ"
  bool operator==(const SeccompArg&) const = default;
};

struct SeccompRule {
  std::vector<std::string> names;
  std::string action;                 // "SCMP_ACT_ALLOW"
  std::optional<uint32_t> errno_ret;  // for SCMP_ACT_ERRNO and SCMP_ACT_TRACE
  std::vector<SeccompArg> args;       // all must hold
  bool operator==(const SeccompRule&) const = default;
};

struct Seccomp {
  std::string default_action;
  std::optional<uint32_t> default_errno_ret;
  std::vector<std::string> architectures;  // "SCMP_ARCH_X86_64"
  std::vector<std::string> flags;          // "SECCOMP_FILTER_FLAG_LOG"
  std::string listener_path;
  std::string listener_metadata;
  std::vector<SeccompRule> syscalls;
  bool operator==(const Seccomp&) const = default;
};

// linux.intelRdt: a class of resctrl.
struct IntelRdt {
  std::string clos_id;
  std::string l3_cache_schema;
  std::string mem_bw_schema;
  bool enable_cmt = false;
  bool enable_mbm = false;
  bool operator==(const IntelRdt&) const = default;
};

// Programs that the OCI runtime runs, by "prestart", "createRuntime", "createContainer", "startContainer",
// "poststart", "poststop". Only from CDI files, which are root's.
struct SpecHook {
  std::string path;
  std::vector<std::string> args;  // argv[0] included
  std::vector<std::string> env;
  std::optional<int64_t> timeout_s;
  bool operator==(const SpecHook&) const = default;
};
using SpecHooks = std::map<std::string, std::vector<SpecHook>>;

struct SpecLinux {
  std::vector<SpecNamespace> namespaces;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  std::vector<SpecDevice> devices;
  std::string cgroups_path;
  Resources resources;
  std::optional<Seccomp> seccomp;
  std::map<std::string, std::string> sysctl;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::string rootfs_propagation;  // "rprivate" "rslave" "rshared"; empty: the runtime's
  std::string mount_label;
  std::optional<IntelRdt> intel_rdt;
  bool operator==(const SpecLinux&) const = default;
};

struct Spec {
  std::string oci_version = "1.0.2";
  SpecProcess process;
  SpecRoot root;
  std::string hostname;
  std::string domainname;         // runtime spec 1.1
  std::vector<SpecMount> mounts;  // made in this order
  std::map<std::string, std::string> annotations;
  SpecLinux linux;
  SpecHooks hooks;
  bool operator==(const Spec&) const = default;
};

}  // namespace berth::oci
