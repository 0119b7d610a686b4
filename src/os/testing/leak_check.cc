// SPDX-License-Identifier: Apache-2.0
#include "os/testing/leak_check.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include "base/strings.h"
#include "os/dir_fd.h"
#include "os/mount.h"

namespace berth::os {

namespace {

using Lines = std::multiset<std::string>;

void AddFds(Lines& lines) {
  Result<DirFd> fds = DirFd::OpenTrusted("/proc/self/fd");
  Result<std::vector<std::string>> names =
      fds ? fds->List() : Result<std::vector<std::string>>(fds.error().Clone());
  if (!names) {
    lines.insert(StrCat("cannot list fds: ", names.error().message()));
    return;
  }
  for (const std::string& name : *names) {
    std::array<char, PATH_MAX> target{};
    const ssize_t n = ::readlinkat(fds->get(), name.c_str(), target.data(), target.size());
    // List's own, closed again; and the looking one.
    if (n <= 0 || name == StrCat(fds->get())) continue;
    lines.insert(StrCat("fd ", name, " ", std::string_view(target.data(), static_cast<size_t>(n))));
  }
}

void AddMounts(Lines& lines) {
  // Of this thread: a test may look from a mount namespace of its own.
  Result<DirFd> self = DirFd::OpenTrusted("/proc/thread-self");
  Result<std::string> text =
      self ? self->ReadFile("mountinfo", 64U << 20) : Result<std::string>(self.error().Clone());
  Result<std::vector<MountInfo>> mounts =
      text ? ParseMountInfo(*text) : Result<std::vector<MountInfo>>(text.error().Clone());
  if (!mounts) {
    lines.insert(StrCat("cannot list mounts: ", mounts.error().message()));
    return;
  }
  for (const MountInfo& m : *mounts) lines.insert(StrCat("mount ", m.mount_point, " ", m.fs_type));
}

// "123 (a) name) S 77 ...": the command may hold anything, so from the last parenthesis on.
bool IsChildOf(std::string_view stat, pid_t parent) {
  const size_t end = stat.rfind(')');
  if (end == std::string_view::npos) return false;
  const auto fields = Split(stat.substr(end + 1), ' ');
  return fields.size() > 2 && fields[2] == StrCat(parent);
}

void AddChildren(Lines& lines) {
  Result<DirFd> proc = DirFd::OpenTrusted("/proc");
  Result<std::vector<std::string>> names =
      proc ? proc->List() : Result<std::vector<std::string>>(proc.error().Clone());
  if (!names) {
    lines.insert(StrCat("cannot list processes: ", names.error().message()));
    return;
  }
  for (const std::string& name : *names) {
    if (name[0] < '1' || name[0] > '9') continue;
    Result<std::string> stat = proc->ReadFile(name + "/stat", 65536);
    if (!stat || !IsChildOf(*stat, ::getpid())) continue;  // gone meanwhile, or not ours
    const size_t open = stat->find('('), close = stat->rfind(')');
    lines.insert(StrCat("child ", name, " ", stat->substr(open, close - open + 1)));
  }
}

void AddNames(const std::string& path, std::string_view what, Lines& lines) {
  Result<DirFd> dir = DirFd::OpenTrusted(path);
  if (!dir) return;
  Result<std::vector<std::string>> names = dir->List();
  if (!names) {
    lines.insert(StrCat("cannot list ", path, ": ", names.error().message()));
    return;
  }
  for (const std::string& name : *names) lines.insert(StrCat(what, " ", name));
}

void AddCgroups(const DirFd& dir, const std::string& path, const std::string& wanted, int depth,
                Lines& lines) {
  constexpr int kDeepest = 32;
  Result<std::vector<std::string>> names = dir.List();
  if (!names || depth > kDeepest) return;  // a group that vanished meanwhile
  for (const std::string& name : *names) {
    Result<struct stat> st = dir.Stat(name);
    if (!st || !S_ISDIR(st->st_mode)) continue;
    const std::string below = StrCat(path, "/", name);
    if (below.find(wanted) != std::string::npos) lines.insert(StrCat("cgroup ", below));
    Result<DirFd> child = dir.OpenDir(name);
    if (child) AddCgroups(*child, below, wanted, depth + 1, lines);
  }
}

}  // namespace

LeakCheck::LeakCheck() : LeakCheck(Scope{}) {}
LeakCheck::LeakCheck(Scope scope) : scope_(std::move(scope)), before_(Look()) {}

LeakCheck::Lines LeakCheck::Look() const {
  Lines lines;
  AddFds(lines);
  AddMounts(lines);
  AddChildren(lines);
  if (!scope_.netns_dir.empty()) AddNames(scope_.netns_dir, "netns", lines);
  if (!scope_.cgroup_root.empty()) {
    Result<DirFd> root = DirFd::OpenTrusted(scope_.cgroup_root);
    if (root) AddCgroups(*root, "", scope_.cgroup_name, 0, lines);
  }
  return lines;
}

std::string LeakCheck::Diff() const {
  const Lines now = Look();
  std::vector<std::string> fresh, gone;
  std::set_difference(now.begin(), now.end(), before_.begin(), before_.end(),
                      std::back_inserter(fresh));
  std::set_difference(before_.begin(), before_.end(), now.begin(), now.end(),
                      std::back_inserter(gone));
  std::string text;
  for (const std::string& line : fresh) text += StrCat("+ ", line, "\n");
  for (const std::string& line : gone) text += StrCat("- ", line, "\n");
  return text;
}

}  // namespace berth::os
