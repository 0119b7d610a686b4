// SPDX-License-Identifier: Apache-2.0
// What Berth remembers of pods and containers: written as an intent before the first side effect,
// removed after the last undo. Implemented by SqliteRecords (WAL, synchronous=NORMAL) and
// FakeRecords (testing/). Any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "pod/types.h"
#include "runtime/runtime.h"

namespace berth::pod {

// A pod. In kIntent side effects may exist, but the call has not succeeded: such a pod is in no list.
//
//       RunPodSandbox                     StopPodSandbox,           RemovePodSandbox
//                                         monitor lost, reboot
//   --> kIntent ------------> kReady ---------------> kNotReady ------------> kRemoving --> gone
//        |    |                                        ^      ^                   |
//        |    +-- undo failed (StopPodSandbox retries) +      +-- removal failed -+
//        +-- undone: gone
//
// A container. Removing one that runs kills it first.
//
//       CreateContainer           StartContainer            exit             RemoveContainer
//   --> kIntent -----> kCreated ----------------> kRunning -------> kExited -------------> kRemoving --> gone
//        |    |           |                                         ^  ^  ^                     |
//        |    |           +-- start failed: 128 StartError ---------+  |  +--- removal failed --+
//        |    +-- undo failed: 128 CreateError ------------------------+
//        +-- undone: gone
//
//   kCreated, kRunning --> kUnknown: the monitor died without an exit record, or the row cannot be read.
//   Stopping it makes it kExited (255, Unknown).
enum class SandboxPhase { kIntent, kReady, kNotReady, kRemoving };
enum class ContainerPhase { kIntent, kCreated, kRunning, kExited, kUnknown, kRemoving };

struct SandboxRecord {
  static constexpr int kVersion = 1;
  std::string id;
  SandboxPhase phase = SandboxPhase::kIntent;
  SandboxConfig config;
  std::string handler;
  int64_t created_at = 0;
  std::string boot_id;  // of the boot that the processes belong to
  bool network_attached = false;
  bool owns_cgroup = false;
  std::string cgroup_path;  // the pod's group
  std::vector<std::string> ips;
  std::optional<runtime::SandboxHandle> handle;
  // What UpdatePodSandboxResources said last; unset: what the config says.
  std::optional<LinuxResources> overhead, resources;
  // kNotReady, and nothing of it is left on the node: StopPodSandbox has nothing to do.
  bool stopped = false;
  bool loaded = true;  // false: the stored bytes could not be read; only the id is known
};

struct ContainerRecord {
  static constexpr int kVersion = 1;
  std::string id, sandbox_id;
  ContainerPhase phase = ContainerPhase::kIntent;
  ContainerConfig config;
  std::string image_id, image_ref, image_name;
  int64_t created_at = 0, started_at = 0, finished_at = 0;
  int32_t exit_code = 0;
  std::string reason, message;
  int pid = 0;
  int stop_signal = 15;
  ContainerUser user;
  StringMap mount_image_refs;  // container path of each image volume -> its image_ref
  std::string cgroups_path;
  std::optional<LinuxResources> resources;  // after updates; unset: what the config says
  std::string log_directory;  // of the sandbox, so that log_path can be told without it
  std::string spec_json;      // as given to the OCI runtime; exec derives its process from it
  bool loaded = true;
};

class Records {
 public:
  virtual ~Records() = default;
  virtual Result<> Put(const SandboxRecord& record) = 0;
  virtual Result<> Put(const ContainerRecord& record) = 0;
  virtual Result<> RemoveSandbox(const std::string& id) = 0;
  virtual Result<> RemoveContainer(const std::string& id) = 0;
  // A record that was lost here, as another place has kept it: Encode's text, readable or not. Where there is a record,
  // that stays.
  virtual Result<> RestoreSandbox(const std::string& id, const std::string& body) = 0;
  virtual Result<> RestoreContainer(const std::string& id, const std::string& body,
                                    const std::string& spec_json) = 0;
  // Everything, once at start. A row that cannot be read comes with loaded = false, never silently
  // dropped.
  virtual Result<std::vector<SandboxRecord>> LoadSandboxes() = 0;
  virtual Result<std::vector<ContainerRecord>> LoadContainers() = 0;
};

}  // namespace berth::pod
