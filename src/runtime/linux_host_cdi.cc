// SPDX-License-Identifier: Apache-2.0
// What containers may ask for by name: CDI devices and AppArmor profiles, read anew each time.
#include <algorithm>

#include "base/strings.h"
#include "runtime/apparmor.h"
#include "runtime/linux_host.h"

namespace berth::runtime {

namespace {

constexpr size_t kMaxCdiFiles = 1024;

bool IsSpecFile(std::string_view name) {
  return !name.starts_with('.') &&
         (name.ends_with(".json") || name.ends_with(".yaml") || name.ends_with(".yml"));
}

Result<> ReadDir(const std::string& path, int priority, std::vector<oci::CdiFile>& out) {
  Result<os::DirFd> dir = os::DirFd::OpenTrusted(path);
  if (!dir && dir.error().code() == Code::kNotFound) return Ok();
  if (!dir) return std::move(dir.error());
  std::vector<std::string> names = TRY(dir->List(), path);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (!IsSpecFile(name)) continue;
    if (out.size() == kMaxCdiFiles)
      return Error(Code::kResourceExhausted,
                   StrCat(path, ": more than ", kMaxCdiFiles, " CDI files"));
    oci::CdiFile file;
    file.path = StrCat(path, "/", name);
    file.priority = priority;
    Result<std::string> text = dir->ReadFile(name, oci::kMaxCdiFileBytes);
    if (text) {
      file.text = std::move(*text);
    } else {
      file.problem = text.error().message();
    }
    out.push_back(std::move(file));
  }
  return Ok();
}

}  // namespace

Result<std::vector<std::string>> LinuxHost::ApparmorProfiles() {
  constexpr size_t kMaxBytes = 4u << 20;
  if (!facts_.has_apparmor) return std::vector<std::string>();
  const os::DirFd dir = TRY(os::DirFd::OpenTrusted("/sys/kernel/security/apparmor"), "apparmor");
  return ParseApparmorProfiles(TRY(dir.ReadFile("profiles", kMaxBytes), "apparmor profiles"));
}

Result<std::vector<oci::CdiFile>> LinuxHost::ReadCdiFiles() {
  std::vector<oci::CdiFile> out;
  for (size_t i = 0; i < options_.cdi_dirs.size(); ++i) {
    TRY(ReadDir(options_.cdi_dirs[i], static_cast<int>(i), out), "CDI files");
  }
  return out;
}

}  // namespace berth::runtime
