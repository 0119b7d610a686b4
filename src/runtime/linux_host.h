// SPDX-License-Identifier: Apache-2.0
// Host by the running system: procfs, sysfs, /dev and the control groups. Facts are read once, at
// Open. Owned by the daemon; immutable, any thread. Paths come from the kubelet, which is trusted
// like root.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "os/cgroup.h"
#include "os/dir_fd.h"
#include "runtime/host.h"

namespace berth::runtime {

struct LinuxHostOptions {
  std::string cgroup_root = "/sys/fs/cgroup";
  std::string dev_dir = "/dev";
  std::vector<std::string> cdi_dirs = {"/etc/cdi", "/var/run/cdi"};
};

class LinuxHost final : public Host {
 public:
  static Result<std::unique_ptr<LinuxHost>> Open(LinuxHostOptions options);

  const HostFacts& Facts() const override { return facts_; }
  Result<std::string> ResolveMountSource(const std::string& host_path) override;
  Result<std::string> MountPropagation(const std::string& host_path) override;
  Result<Volume> ShiftedVolume(const std::string& source, int user_ns) override;
  // Below a directory at most 8 levels and 4096 nodes; links in it are not followed.
  Result<std::vector<HostDevice>> Devices(const std::string& host_path) override;
  // Without what a container has its own of: pts, shm, fd, mqueue, console.
  Result<std::vector<HostDevice>> AllDevices() override;
  Result<std::string> ReadSeccompProfile(const std::string& path) override;
  Result<std::vector<std::string>> ApparmorProfiles() override;
  Result<std::vector<oci::CdiFile>> ReadCdiFiles() override;
  Result<> CreateCgroup(const std::string& path) override;
  Result<> RemoveCgroup(const std::string& path, Parent parent) override;
  Result<CgroupFiles> ReadCgroup(const std::string& path,
                                 const std::vector<std::string>& files) override;
  Result<> WriteCgroup(const std::string& path, const CgroupFiles& files) override;
  Result<> SetOomScoreAdj(const std::string& cgroup_path, int64_t value) override;

 private:
  LinuxHost(LinuxHostOptions options, HostFacts facts, os::Cgroups cgroups)
      : options_(std::move(options)), facts_(std::move(facts)), cgroups_(std::move(cgroups)) {}
  const LinuxHostOptions options_;
  const HostFacts facts_;
  const os::Cgroups cgroups_;
};

// The propagation of the mount with this id in the text of /proc/<pid>/mountinfo (proc(5)):
// "shared" also when it is a slave too, "slave", else "private". NotFound without such a mount;
// InvalidArgument quoting a malformed line.
Result<std::string> PropagationOfMount(std::string_view mountinfo, uint64_t mount_id);

}  // namespace berth::runtime
