// SPDX-License-Identifier: Apache-2.0
// Mount sources, profiles and pods' control groups; devices are in linux_host_devices.cc, limits in
// linux_host_cgroups.cc.
#include "runtime/linux_host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>

#include "base/strings.h"
#include "os/userns.h"
#include "runtime/linux_host_facts.h"

namespace berth::runtime {

namespace {

constexpr size_t kMaxProfileBytes = 4U << 20;
constexpr size_t kMaxMountInfoBytes = 64U << 20;

Result<> CheckAbsolute(std::string_view what, std::string_view path) {
  if (!path.starts_with('/') || path.size() >= PATH_MAX ||
      path.find('\0') != std::string_view::npos)
    return Error(Code::kInvalidArgument, StrCat(what, " ", Quote(path), ": not an absolute path"));
  return Ok();
}

// Links are followed: the path is the operator's, through the kubelet.
Result<os::Fd> OpenPath(const std::string& path, std::string_view what) {
  os::Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(StrCat(what, " ", Quote(path)));
  return fd;
}

// The name that the kernel has for what is open: every link resolved, at the same instant as it was
// opened.
Result<std::string> RealPath(const os::Fd& fd, const std::string& path) {
  std::array<char, PATH_MAX> buffer{};
  const std::string link = StrCat("/proc/self/fd/", fd.get());
  const ssize_t n = ::readlink(link.c_str(), buffer.data(), buffer.size());
  if (n < 0) return ErrnoError(StrCat("mount source ", Quote(path)));
  std::string real(buffer.data(), static_cast<size_t>(n));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return ErrnoError(StrCat("mount source ", Quote(path)));
  if (!real.starts_with('/') || st.st_nlink == 0)
    return Error(Code::kFailedPrecondition,
                 StrCat("mount source ", Quote(path), ": it was removed meanwhile"));
  return real;
}

}  // namespace

Result<std::unique_ptr<LinuxHost>> LinuxHost::Open(LinuxHostOptions options) {
  os::Cgroups cgroups = TRY(os::Cgroups::Detect(options.cgroup_root), "control groups");
  HostFacts facts = TRY(ReadHostFacts(), "host");
  TRY(ReadCgroupFacts(cgroups, &facts), "control groups");
  return std::unique_ptr<LinuxHost>(
      new LinuxHost(std::move(options), std::move(facts), std::move(cgroups)));
}

Result<std::string> LinuxHost::ResolveMountSource(const std::string& host_path) {
  constexpr mode_t kMode = 0755;
  TRY(CheckAbsolute("mount source", host_path));
  Result<os::Fd> fd = OpenPath(host_path, "mount source");
  // A link to nothing stays an error: what it should be made of is not for us to say.
  struct stat st{};
  const bool is_link = ::lstat(host_path.c_str(), &st) == 0 && S_ISLNK(st.st_mode);
  if (!fd && fd.error().code() == Code::kNotFound && !is_link) {
    TRY(os::DirFd::MakeTrusted(host_path, kMode), StrCat("mount source ", Quote(host_path)));
    fd = OpenPath(host_path, "mount source");
  }
  if (!fd) return std::move(fd.error());
  return RealPath(*fd, host_path);
}

Result<std::string> PropagationOfMount(std::string_view mountinfo, uint64_t mount_id) {
  const std::string id = std::to_string(mount_id);
  for (std::string_view line : Split(mountinfo, '\n')) {
    if (line.empty()) continue;
    // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw: optional fields from the
    // seventh up to "-".
    const std::vector<std::string_view> words = Split(line, ' ');
    const auto end = std::find(words.begin(), words.end(), "-");
    if (words.size() < 10 || end - words.begin() < 6)
      return Error(Code::kInvalidArgument, StrCat("mountinfo: malformed line ", Quote(line)));
    if (words[0] != id) continue;
    const auto has = [&](std::string_view prefix) {
      return std::any_of(words.begin() + 6, end,
                         [&](std::string_view word) { return word.starts_with(prefix); });
    };
    return std::string(has("shared:") ? "shared" : has("master:") ? "slave" : "private");
  }
  return Error(Code::kNotFound, StrCat("mountinfo: no mount has the id ", id));
}

Result<std::string> LinuxHost::MountPropagation(const std::string& host_path) {
  TRY(CheckAbsolute("mount source", host_path));
  const os::Fd fd = TRY(OpenPath(host_path, "mount source"));
  struct statx stx{};
  if (::statx(fd.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) != 0 ||
      (stx.stx_mask & STATX_MNT_ID) == 0)
    return ErrnoError(StrCat("mount of ", Quote(host_path)));
  // The mount namespace that the path was opened in is the calling thread's.
  const os::DirFd self = TRY(os::DirFd::OpenTrusted("/proc/thread-self"));
  const std::string text = TRY(self.ReadFile("mountinfo", kMaxMountInfoBytes), "mountinfo");
  return TRY(PropagationOfMount(text, stx.stx_mnt_id), StrCat("mount of ", Quote(host_path)));
}

Result<Volume> LinuxHost::ShiftedVolume(const std::string& source, int user_ns) {
  const std::string what = StrCat("mount source ", Quote(source));
  TRY(CheckAbsolute("mount source", source));
  const os::Fd fd = TRY(OpenPath(source, "mount source"));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return ErrnoError(what);
  Volume volume;
  volume.directory = S_ISDIR(st.st_mode);
  volume.mount = TRY(os::Mount::CloneTree(fd.get(), true), what);
  TRY(os::ShiftIds(volume.mount, user_ns), what);
  return volume;
}

Result<std::string> LinuxHost::ReadSeccompProfile(const std::string& path) {
  TRY(CheckAbsolute("seccomp profile", path));
  const os::Fd fd = TRY(OpenPath(path, "seccomp profile"));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return ErrnoError(StrCat("seccomp profile ", Quote(path)));
  if (!S_ISREG(st.st_mode))
    return Error(Code::kFailedPrecondition,
                 StrCat("seccomp profile ", Quote(path), ": not a regular file"));
  // Opened anew only now that it is known to be no FIFO or device.
  const os::Fd readable(::open(StrCat("/proc/self/fd/", fd.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!readable.valid()) return ErrnoError(StrCat("seccomp profile ", Quote(path)));
  return TRY(os::ReadAll(readable.get(), kMaxProfileBytes),
             StrCat("seccomp profile ", Quote(path)));
}

Result<> LinuxHost::CreateCgroup(const std::string& path) {
  const std::string checked = TRY(os::Cgroups::CheckPath(path));
  // Another pod's end may take the shared parent away between its making and ours.
  constexpr int kTries = 5;
  Result<> made = Ok();
  for (int i = 0; i < kTries; ++i) {
    made = cgroups_.Create(checked);
    if (made || made.error().code() != Code::kNotFound) break;
  }
  return made;
}

Result<> LinuxHost::RemoveCgroup(const std::string& path, Parent parent_group) {
  const std::string checked = TRY(os::Cgroups::CheckPath(path));
  TRY(cgroups_.Remove(checked));
  if (parent_group == Parent::kOfOthers) return Ok();
  const std::string_view parent = std::string_view(checked).substr(0, checked.rfind('/'));
  const size_t slash = parent.rfind('/');
  if (slash == std::string_view::npos) return Ok();
  const std::string_view above = parent.substr(0, slash);
  const std::string name(parent.substr(slash + 1));
  for (const std::string& hierarchy : cgroups_.hierarchies()) {
    Result<os::DirFd> dir =
        os::DirFd::OpenTrusted(StrCat(options_.cgroup_root, "/", hierarchy, above));
    // Cgroups::Remove would take other pods' empty groups along. rmdir(2) refuses while anything is
    // in it, and then it has to stay.
    if (dir) ::unlinkat(dir->get(), name.c_str(), AT_REMOVEDIR);
  }
  return Ok();
}

}  // namespace berth::runtime
