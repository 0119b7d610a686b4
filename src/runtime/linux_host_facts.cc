// SPDX-License-Identifier: Apache-2.0
#include "runtime/linux_host_facts.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/strings.h"
#include "oci/capabilities.h"
#include "os/dir_fd.h"

namespace berth::runtime {

namespace {

constexpr size_t kMaxFactBytes = 256U << 10;

Result<std::string> ReadFact(const std::string& dir, std::string_view name) {
  return TRY(os::DirFd::OpenTrusted(dir), dir).ReadFile(name, kMaxFactBytes);
}

// capabilities(7): asking for a number above the kernel's last is EINVAL.
oci::CapabilityMask BoundingSet() {
  oci::CapabilityMask mask;
  for (int capability = 0; capability < 64; ++capability) {
    const int in_set = ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (in_set < 0) break;
    if (in_set == 1) mask.Add(capability);
  }
  return mask;
}

// The lines are "nodev\tmqueue" and "\text4".
bool KernelHasFileSystem(std::string_view filesystems, std::string_view name) {
  for (std::string_view line : Split(filesystems, '\n')) {
    const size_t tab = line.rfind('\t');
    if (tab != std::string_view::npos && line.substr(tab + 1) == name) return true;
  }
  return false;
}

bool IsYes(const Result<std::string>& text) {
  return text && (text->starts_with('Y') || text->starts_with('1'));
}

// proc(5): without CAP_SYS_RESOURCE the value may not go below the lowest that a privileged process
// set, which for a daemon that was started without it is its own.
Result<int> OomScoreFloor(oci::CapabilityMask bounding) {
  if (bounding.Has(CAP_SYS_RESOURCE)) return -1000;
  const std::string text = TRY(ReadFact("/proc/self", "oom_score_adj"), "oom_score_adj");
  return static_cast<int>(TRY(ParseInt(TrimSpace(text), -1000, 1000, "oom_score_adj")));
}

}  // namespace

Result<HostFacts> ReadHostFacts() {
  HostFacts facts;
  const oci::CapabilityMask bounding = BoundingSet();
  facts.capabilities = bounding.Names();
  facts.oom_score_adj_floor = TRY(OomScoreFloor(bounding));
  const std::string filesystems = TRY(ReadFact("/proc", "filesystems"), "known file systems");
  facts.has_mqueue = KernelHasFileSystem(filesystems, "mqueue");
  facts.has_apparmor = IsYes(ReadFact("/sys/module/apparmor/parameters", "enabled")) &&
                       ::access("/sys/kernel/security/apparmor", F_OK) == 0;
  facts.has_selinux = ReadFact("/sys/fs/selinux", "enforce").has_value();
  // seccomp(2): EFAULT means that filters are known and only the null filter was bad.
  facts.has_seccomp =
      ::prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, nullptr) < 0 && errno == EFAULT;
  const std::string boot = TRY(ReadFact("/proc/sys/kernel/random", "boot_id"), "boot id");
  facts.boot_id = TrimSpace(boot);
  return facts;
}

}  // namespace berth::runtime
