// SPDX-License-Identifier: Apache-2.0
#include "runtime/testing/fake_host.h"

#include "base/strings.h"

namespace berth::runtime {

FakeHost::FakeHost() {
  facts_.cgroup_v2 = true;
  facts_.has_mqueue = true;
  facts_.capabilities = {"CAP_CHOWN",
                         "CAP_DAC_OVERRIDE",
                         "CAP_DAC_READ_SEARCH",
                         "CAP_FOWNER",
                         "CAP_FSETID",
                         "CAP_KILL",
                         "CAP_SETGID",
                         "CAP_SETUID",
                         "CAP_SETPCAP",
                         "CAP_LINUX_IMMUTABLE",
                         "CAP_NET_BIND_SERVICE",
                         "CAP_NET_BROADCAST",
                         "CAP_NET_ADMIN",
                         "CAP_NET_RAW",
                         "CAP_IPC_LOCK",
                         "CAP_IPC_OWNER",
                         "CAP_SYS_MODULE",
                         "CAP_SYS_RAWIO",
                         "CAP_SYS_CHROOT",
                         "CAP_SYS_PTRACE",
                         "CAP_SYS_PACCT",
                         "CAP_SYS_ADMIN",
                         "CAP_SYS_BOOT",
                         "CAP_SYS_NICE",
                         "CAP_SYS_RESOURCE",
                         "CAP_SYS_TIME",
                         "CAP_SYS_TTY_CONFIG",
                         "CAP_MKNOD",
                         "CAP_LEASE",
                         "CAP_AUDIT_WRITE",
                         "CAP_AUDIT_CONTROL",
                         "CAP_SETFCAP",
                         "CAP_MAC_OVERRIDE",
                         "CAP_MAC_ADMIN",
                         "CAP_SYSLOG",
                         "CAP_WAKE_ALARM",
                         "CAP_BLOCK_SUSPEND",
                         "CAP_AUDIT_READ",
                         "CAP_PERFMON",
                         "CAP_BPF",
                         "CAP_CHECKPOINT_RESTORE"};
  facts_.boot_id = "11111111-2222-3333-4444-555555555555";
}

Result<> FakeHost::Enter(std::string_view call, std::string_view path) const {
  return hook_ ? hook_(call, path) : Ok();
}

void FakeHost::AddDevice(const HostDevice& device) { devices_.push_back(device); }

void FakeHost::AddLink(const std::string& from, const std::string& to) { links_[from] = to; }

void FakeHost::SetPropagation(const std::string& path, const std::string& propagation) {
  propagation_[path] = propagation;
}

void FakeHost::AddProfile(const std::string& path, const std::string& json) {
  profiles_[path] = json;
}

std::set<std::string> FakeHost::Cgroups() const { return state_.Lock()->cgroups; }

std::set<std::string> FakeHost::ResolvedSources() const { return state_.Lock()->sources; }

Result<std::string> FakeHost::ResolveMountSource(const std::string& host_path) {
  TRY(Enter("ResolveMountSource", host_path));
  if (!host_path.starts_with('/'))
    return Error(Code::kInvalidArgument,
                 StrCat("mount source ", Quote(host_path), ": not an absolute path"));
  state_.Lock()->sources.insert(host_path);
  auto link = links_.find(host_path);
  return link == links_.end() ? host_path : link->second;
}

Result<std::string> FakeHost::MountPropagation(const std::string& host_path) {
  TRY(Enter("MountPropagation", host_path));
  auto found = propagation_.find(host_path);
  return found == propagation_.end() ? std::string("private") : found->second;
}

Result<Volume> FakeHost::ShiftedVolume(const std::string& source, int) {
  TRY(Enter("ShiftedVolume", source));
  os::Fd fd = TRY(os::MakeMemFile("volume", source));
  return Volume{os::Mount(std::move(fd)), true};
}

Result<std::vector<HostDevice>> FakeHost::Devices(const std::string& host_path) {
  TRY(Enter("Devices", host_path));
  std::vector<HostDevice> out;
  for (const HostDevice& device : devices_) {
    if (device.path == host_path || device.path.starts_with(StrCat(host_path, "/")))
      out.push_back(device);
  }
  if (out.empty())
    return Error(Code::kNotFound,
                 StrCat("device ", Quote(host_path), ": No such file or directory"));
  return out;
}

Result<std::vector<HostDevice>> FakeHost::AllDevices() {
  TRY(Enter("AllDevices", ""));
  return devices_;
}

Result<std::string> FakeHost::ReadSeccompProfile(const std::string& path) {
  TRY(Enter("ReadSeccompProfile", path));
  auto found = profiles_.find(path);
  if (found == profiles_.end())
    return Error(Code::kNotFound,
                 StrCat("seccomp profile ", Quote(path), ": No such file or directory"));
  return found->second;
}

Result<> FakeHost::CreateCgroup(const std::string& path) {
  TRY(Enter("CreateCgroup", path));
  state_.Lock()->cgroups.insert(path);
  return Ok();
}

Result<> FakeHost::RemoveCgroup(const std::string& path, Parent) {
  TRY(Enter("RemoveCgroup", path));
  state_.Lock()->cgroups.erase(path);
  return Ok();
}

Result<std::vector<std::string>> FakeHost::ApparmorProfiles() {
  TRY(Enter("ApparmorProfiles", ""));
  return apparmor_profiles_;
}

Result<std::vector<oci::CdiFile>> FakeHost::ReadCdiFiles() {
  TRY(Enter("ReadCdiFiles", ""));
  return cdi_files_;
}

void FakeHost::SetCgroupFiles(const std::string& path, const CgroupFiles& files) {
  state_.Lock()->files[path] = files;
}

void FakeHost::RefuseCgroupFile(const std::string& file, const std::string& error) {
  auto state = state_.Lock();
  if (error.empty()) {
    state->refused.erase(file);
  } else {
    state->refused[file] = error;
  }
}

Host::CgroupFiles FakeHost::FilesOf(const std::string& path) const {
  auto state = state_.Lock();
  auto found = state->files.find(path);
  return found == state->files.end() ? CgroupFiles() : found->second;
}

std::map<std::string, int64_t> FakeHost::OomScores() const { return state_.Lock()->oom_scores; }

Result<Host::CgroupFiles> FakeHost::ReadCgroup(const std::string& path,
                                               const std::vector<std::string>& files) {
  TRY(Enter("ReadCgroup", path));
  auto state = state_.Lock();
  auto group = state->files.find(path);
  if (group == state->files.end()) {
    return Error(Code::kNotFound, StrCat("cgroup ", path, ": not there"));
  }
  CgroupFiles out;
  for (const std::string& file : files) {
    auto found = group->second.find(file);
    if (found != group->second.end()) out.insert(*found);
  }
  return out;
}

Result<> FakeHost::WriteCgroup(const std::string& path, const CgroupFiles& files) {
  TRY(Enter("WriteCgroup", path));
  auto state = state_.Lock();
  for (const auto& [file, value] : files) {
    auto refused = state->refused.find(file);
    if (refused != state->refused.end()) {
      return Error(Code::kInternal, StrCat("cgroup ", path, ": ", file, ": ", refused->second));
    }
    state->files[path][file] = value;
  }
  return Ok();
}

Result<> FakeHost::SetOomScoreAdj(const std::string& cgroup_path, int64_t value) {
  TRY(Enter("SetOomScoreAdj", cgroup_path));
  state_.Lock()->oom_scores[cgroup_path] = value;
  return Ok();
}

}  // namespace berth::runtime
