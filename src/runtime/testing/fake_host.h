// SPDX-License-Identifier: Apache-2.0
// A Host in memory: the test says which devices, profiles and mounts exist, and makes any step fail
// through `hook`. Owned by the test; the setters before other threads use it, the interface from
// any thread.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "runtime/host.h"

namespace berth::runtime {

class FakeHost final : public Host {
 public:
  // Called before each method with its name and its path; an error is returned by the method, which
  // did nothing.
  using Hook = std::function<Result<>(std::string_view call, std::string_view path)>;

  FakeHost();  // cgroup v2, mqueue, seccomp, all capabilities, a fixed boot id
  void SetHook(Hook hook) { hook_ = std::move(hook); }
  HostFacts& MutableFacts() { return facts_; }

  void AddDevice(const HostDevice& device);
  // A symbolic link: ResolveMountSource(from) gives `to`. Other paths resolve to themselves.
  void AddLink(const std::string& from, const std::string& to);
  void SetPropagation(const std::string& path,
                      const std::string& propagation);  // default "private"
  void AddProfile(const std::string& path, const std::string& json);

  void AddApparmorProfile(const std::string& name) { apparmor_profiles_.push_back(name); }
  void AddCdiFile(const oci::CdiFile& file) { cdi_files_.push_back(file); }
  // The files of a control group: what ReadCgroup finds and WriteCgroup changes.
  void SetCgroupFiles(const std::string& path, const CgroupFiles& files);
  // Writing this file fails with `error`, until the next call with an empty one.
  void RefuseCgroupFile(const std::string& file, const std::string& error);
  CgroupFiles FilesOf(const std::string& path) const;
  std::map<std::string, int64_t> OomScores() const;  // of groups

  // --- what exists ---
  std::set<std::string> Cgroups() const;
  std::set<std::string> ResolvedSources() const;  // every path that was asked for

  // --- Host ---
  const HostFacts& Facts() const override { return facts_; }
  Result<std::string> ResolveMountSource(const std::string& host_path) override;
  Result<Volume> ShiftedVolume(const std::string& source, int user_ns) override;  // a memory file
  Result<std::string> MountPropagation(const std::string& host_path) override;
  Result<std::vector<HostDevice>> Devices(const std::string& host_path) override;
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
  struct State {
    std::set<std::string> cgroups;
    std::set<std::string> sources;
    std::map<std::string, CgroupFiles> files;
    std::map<std::string, std::string> refused;
    std::map<std::string, int64_t> oom_scores;
  };
  Result<> Enter(std::string_view call, std::string_view path) const;

  Hook hook_;
  HostFacts facts_;
  std::vector<HostDevice> devices_;
  std::map<std::string, std::string> links_;
  std::map<std::string, std::string> propagation_;
  std::map<std::string, std::string> profiles_;
  std::vector<std::string> apparmor_profiles_;
  std::vector<oci::CdiFile> cdi_files_;
  mutable Guarded<State> state_;
};

}  // namespace berth::runtime
