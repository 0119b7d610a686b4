// SPDX-License-Identifier: Apache-2.0
// What the planner must know of the node and may not look up itself: devices, mount sources,
// profiles, capabilities. Implemented by LinuxHost and FakeHost (testing/). Owned by the daemon;
// any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "oci/cdi.h"
#include "runtime/volume.h"

namespace berth::runtime {

// AppArmor profile of containers that name none; loaded by berthd at its start where there is an apparmor_parser.
inline constexpr char kDefaultApparmorProfile[] = "berth-default";

// With the systemd driver crun keeps a container's processes and limits in this group inside its scope; other OCI
// runtimes use the scope itself. ReadCgroup, WriteCgroup, SetOomScoreAdj and meters of a scope go by which it is.
inline constexpr char kScopeSubgroup[] = "container";

struct HostDevice {
  std::string path;  // on the host
  char type = 'c';   // 'c', 'b' or 'p'
  int64_t major = 0;
  int64_t minor = 0;
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct HostFacts {
  bool cgroup_v2 = false;
  bool has_mqueue = false;
  bool has_apparmor = false;
  bool has_selinux = false;
  bool has_seccomp = true;
  bool has_swap_limit = true;             // the kernel counts swap per control group
  bool has_hugetlb = true;                // a hugetlb controller
  int oom_score_adj_floor = -1000;        // lower values may not be set (no CAP_SYS_RESOURCE)
  std::vector<std::string> capabilities;  // the daemon's bounding set, "CAP_..." names
  std::string boot_id;
};

class Host {
 public:
  virtual ~Host() = default;
  virtual const HostFacts& Facts() const = 0;
  // The real path of a mount's source, symlinks resolved; a missing one is made as a directory
  // (0755), as peers do.
  virtual Result<std::string> ResolveMountSource(const std::string& host_path) = 0;
  // "private", "shared", "slave" of the mount that holds the path: rshared needs shared, rslave
  // shared or slave.
  virtual Result<std::string> MountPropagation(const std::string& host_path) = 0;
  // What is at `source` and mounted below, the top mount's ids shifted into the user namespace.
  // FailedPrecondition when its file system cannot.
  virtual Result<Volume> ShiftedVolume(const std::string& source, int user_ns) = 0;
  // One device, or every device below a directory. NotFound naming the path.
  virtual Result<std::vector<HostDevice>> Devices(const std::string& host_path) = 0;
  virtual Result<std::vector<HostDevice>> AllDevices() = 0;  // for privileged containers
  // A Localhost profile: absolute path, regular file, at most 4 MiB.
  virtual Result<std::string> ReadSeccompProfile(const std::string& path) = 0;
  // Names of the AppArmor profiles that the kernel has loaded; empty without AppArmor.
  virtual Result<std::vector<std::string>> ApparmorProfiles() = 0;
  // Every CDI spec file, the later of the configured directories with the higher priority; at most 1024. A
  // file that cannot be read comes with the reason.
  virtual Result<std::vector<oci::CdiFile>> ReadCdiFiles() = 0;
  // The pod-level group of a pod whose cgroup_parent is empty; cgroupfs driver only. Create is idempotent.
  virtual Result<> CreateCgroup(const std::string& path) = 0;
  // Removes the empty group; not there: success. kOurs: the group above it too, if it is empty then.
  enum class Parent { kOurs, kOfOthers };
  virtual Result<> RemoveCgroup(const std::string& path, Parent parent = Parent::kOurs) = 0;

  // Files of one control group by name ("cpu.shares", "memory.max"): content, trimmed. Files that are not there
  // are left out; NotFound when the group is not.
  using CgroupFiles = std::map<std::string, std::string>;
  virtual Result<CgroupFiles> ReadCgroup(const std::string& path,
                                         const std::vector<std::string>& files) = 0;
  // Writes all of them, in whatever order the kernel takes them: limits that depend on each other (memory
  // and memory with swap, quota and period) are tried again after the others. The error names the file.
  virtual Result<> WriteCgroup(const std::string& path, const CgroupFiles& files) = 0;
  // /proc/<pid>/oom_score_adj of every process that is in the group itself.
  virtual Result<> SetOomScoreAdj(const std::string& cgroup_path, int64_t value) = 0;
};

}  // namespace berth::runtime
