// SPDX-License-Identifier: Apache-2.0
// Limits of control groups: which there are, reading and writing them, and the OOM score of their processes.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/strings.h"
#include "runtime/linux_host.h"
#include "runtime/linux_host_facts.h"
#include "runtime/scope_group.h"

namespace berth::runtime {

namespace {

std::string_view ControllerOf(std::string_view file) { return file.substr(0, file.find('.')); }

// The directory of the process, so that what is written goes to it and to no later owner of the number.
Result<> SetScore(const os::Cgroups& cgroups, const std::string& path, int pid, int64_t value) {
  Result<os::DirFd> process = os::DirFd::OpenTrusted(StrCat("/proc/", pid));
  if (!process) return Ok();  // it has ended
  const std::vector<int> still = TRY(cgroups.Processes(path));
  if (std::find(still.begin(), still.end(), pid) == still.end()) return Ok();
  Result<os::Fd> file = process->Open("oom_score_adj", O_WRONLY);
  const std::string text = std::to_string(value);
  if (file && ::write(file->get(), text.data(), text.size()) >= 0) return Ok();
  const int error = file ? errno : file.error().sys_errno();
  if (error == ENOENT || error == ESRCH) return Ok();
  return ErrnoError(StrCat("oom_score_adj ", value, " of process ", pid), error);
}

}  // namespace

Result<> ReadCgroupFacts(const os::Cgroups& cgroups, HostFacts* facts) {
  facts->cgroup_v2 = cgroups.mode() == os::CgroupMode::kV2;
  if (facts->cgroup_v2) {
    const std::string controllers = TRY(cgroups.Read("/", "", "cgroup.controllers"));
    const std::vector<std::string_view> names = Split(TrimSpace(controllers), ' ');
    facts->has_hugetlb = std::find(names.begin(), names.end(), "hugetlb") != names.end();
    // The root group has no memory.swap.max to look for; a kernel without swap has no such file either.
    facts->has_swap_limit = ::access("/proc/swaps", F_OK) == 0;
    return Ok();
  }
  facts->has_hugetlb = cgroups.Read("/", "hugetlb", "cgroup.procs").has_value();
  facts->has_swap_limit = cgroups.Read("/", "memory", "memory.memsw.limit_in_bytes").has_value();
  return Ok();
}

Result<Host::CgroupFiles> LinuxHost::ReadCgroup(const std::string& path,
                                                const std::vector<std::string>& files) {
  if (!TRY(cgroups_.Exists(path))) {
    return Error(Code::kNotFound, StrCat("cgroup ", path, ": not there"));
  }
  const std::string group = TRY(GroupInScope(cgroups_, path));
  CgroupFiles out;
  for (const std::string& file : files) {
    Result<std::string> text = cgroups_.Read(group, ControllerOf(file), file);
    if (text) {
      out[file] = TrimSpace(*text);
    } else if (text.error().code() != Code::kNotFound) {
      return std::move(text.error());
    }
  }
  return out;
}

Result<> LinuxHost::WriteCgroup(const std::string& path, const CgroupFiles& files) {
  const std::string group = TRY(GroupInScope(cgroups_, path));
  CgroupFiles left = files;
  for (;;) {
    Result<> first = Ok();
    CgroupFiles failed;
    for (const auto& [file, value] : left) {
      Result<> written = cgroups_.Write(group, ControllerOf(file), file, value);
      if (written) continue;
      failed.emplace(file, value);
      if (first) first = std::move(written);
    }
    // Without progress, trying again would not help.
    if (failed.size() == left.size() || failed.empty()) return first;
    left = std::move(failed);
  }
}

Result<> LinuxHost::SetOomScoreAdj(const std::string& cgroup_path, int64_t value) {
  const std::string group = TRY(GroupInScope(cgroups_, cgroup_path));
  for (int pid : TRY(cgroups_.Processes(group))) {
    TRY(SetScore(cgroups_, group, pid, value));
  }
  return Ok();
}

}  // namespace berth::runtime
