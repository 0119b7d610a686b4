// SPDX-License-Identifier: Apache-2.0
// Cgroups: the processes in a group, ending them, and removing what they leave.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/strings.h"
#include "os/cgroup.h"
#include "os/dir_internal.h"
#include "os/process.h"
#include "os/process_internal.h"

namespace berth::os {

namespace {

constexpr size_t kFileLimit = 4U << 20;
constexpr size_t kMostGroups = 100'000;

std::string Below(const std::string& hierarchy, std::string_view path) {
  return hierarchy.empty() ? std::string(path.substr(1)) : StrCat(hierarchy, path);
}

void SleepMillis(long millis) {
  const timespec ts{.tv_sec = 0, .tv_nsec = millis * 1'000'000};
  ::nanosleep(&ts, nullptr);
}

bool IsGone(const Error& error) {
  return error.code() == Code::kNotFound || error.sys_errno() == ENODEV;
}

Result<std::vector<int>> ReadPids(const DirFd& root, const std::string& group) {
  const std::string text = TRY(root.ReadFile(StrCat(group, "/cgroup.procs"), kFileLimit));
  std::vector<int> pids;
  for (std::string_view line : Split(text, '\n')) {
    if (line.empty()) continue;
    const int64_t pid = TRY(ParseInt(line, 0, INT32_MAX, "pid"), group);
    // 0 is a process of a PID namespace that we do not see: kill(2) would take it for ourselves.
    if (pid != 0) pids.push_back(static_cast<int>(pid));
  }
  return pids;
}

Result<std::vector<std::string>> Subgroups(const DirFd& dir, size_t most) {
  std::vector<std::string> names;
  Fd own = TRY(dir.Open(".", O_RDONLY | O_DIRECTORY));
  TRY(internal::ForEachEntry(own.get(), [&](std::string_view name, unsigned char type) {
    if (type == DT_DIR) names.emplace_back(name);
    return names.size() < most;
  }));
  return names;
}

// The pids of a group and of all below it; a group that vanishes meanwhile has none.
Result<> CollectPids(const DirFd& root, const std::string& top, std::set<int>& pids) {
  std::vector<std::string> todo{top};
  for (size_t i = 0; i < todo.size(); ++i) {
    const std::string group = todo[i];
    Result<std::vector<int>> here = ReadPids(root, group);
    if (here) {
      pids.insert(here->begin(), here->end());
    } else if (!IsGone(here.error()) && here.error().sys_errno() != EOPNOTSUPP) {
      // EOPNOTSUPP: a threaded group, its processes are listed above.
      return std::move(here.error());
    }
    Result<DirFd> dir = root.OpenDir(group);
    if (!dir) {
      if (IsGone(dir.error())) continue;
      return std::move(dir.error());
    }
    for (const std::string& name : TRY(Subgroups(*dir, kMostGroups)))
      todo.push_back(StrCat(group, "/", name));
    if (todo.size() > kMostGroups)
      return Error(Code::kResourceExhausted, StrCat("more than ", kMostGroups, " cgroups"));
  }
  return Ok();
}

}  // namespace

Result<std::vector<int>> Cgroups::Processes(std::string_view path) const {
  TRY(CheckPath(path));
  for (const std::string& hierarchy : hierarchies_) {
    Result<std::vector<int>> pids = ReadPids(root_, Below(hierarchy, path));
    if (pids || !IsGone(pids.error())) return pids;
  }
  return Error(Code::kNotFound, StrCat("cgroup ", path, ": not there"));
}

Result<> Cgroups::Kill(std::string_view path) const {
  TRY(CheckPath(path));
  if (mode_ == CgroupMode::kV2) {
    Result<> killed = Write(path, "", "cgroup.kill", "1");
    if (killed || IsGone(killed.error())) return Ok();
    return killed;
  }
  auto pids_now = [&]() -> Result<std::set<int>> {
    std::set<int> pids;
    for (const std::string& h : hierarchies_) TRY(CollectPids(root_, Below(h, path), pids));
    return pids;
  };
  constexpr int kRounds = 100;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::pair<int, Fd>> held;
    for (int pid : TRY(pids_now(), "kill cgroup")) {
      Result<Fd> pidfd = Process::OpenPidFd(pid);
      if (pidfd) held.emplace_back(pid, std::move(*pidfd));
    }
    if (held.empty()) return Ok();
    // Only who is still listed after its pidfd was opened: a number used again elsewhere is left
    // alone.
    const std::set<int> still = TRY(pids_now(), "kill cgroup");
    for (const auto& [pid, pidfd] : held)
      if (still.contains(pid)) internal::PidfdSendSignal(pidfd.get(), SIGKILL);
    // A frozen process dies only when thawed. Not there, or no freezer: fine.
    (void)Write(path, "freezer", "freezer.state", "THAWED");
    SleepMillis(round < 10 ? 2 : 20);
  }
  return Error(Code::kDeadlineExceeded, StrCat("kill cgroup ", path, ": processes are left"));
}

namespace {

Result<> RemoveOne(int parent, const std::string& name) {
  // Just after its last process has ended, a group stays busy for a moment.
  constexpr int kTries = 20;
  for (int i = 0; i < kTries; ++i) {
    if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return Ok();
    if (errno != EBUSY) return ErrnoError(Quote(name));
    SleepMillis(5);
  }
  return Error(Code::kFailedPrecondition, StrCat(Quote(name), ": has processes in it"));
}

// Goes down along first children to a leaf, removes it, and starts again: few descriptors at any
// depth.
Result<> RemoveGroups(const DirFd& parent, const std::string& name) {
  for (size_t i = 0; i < kMostGroups; ++i) {
    DirFd above = TRY(parent.Duplicate());
    std::string leaf = name;
    bool is_top = true;
    for (;;) {
      Result<DirFd> dir = above.OpenDir(leaf);
      if (!dir) {
        if (dir.error().code() == Code::kNotFound) break;
        return std::move(dir.error());
      }
      std::vector<std::string> below = TRY(Subgroups(*dir, 1));
      if (below.empty()) break;
      above = std::move(*dir);
      leaf = std::move(below[0]);
      is_top = false;
    }
    TRY(RemoveOne(above.get(), leaf));
    if (is_top) return Ok();
  }
  return Error(Code::kResourceExhausted, StrCat("more than ", kMostGroups, " cgroups"));
}

}  // namespace

Result<> Cgroups::Remove(std::string_view path) const {
  TRY(CheckPath(path));
  for (const std::string& hierarchy : hierarchies_) {
    const std::string group = Below(hierarchy, path);
    Result<internal::Place> place = internal::FindPlace(root_.get(), group);
    if (!place) {
      if (place.error().code() == Code::kNotFound) continue;
      return std::move(place.error());
    }
    DirFd parent = place->holder.valid() ? DirFd(std::move(place->holder)) : TRY(root_.Duplicate());
    TRY(RemoveGroups(parent, place->name), StrCat("remove cgroup ", path));
  }
  return Ok();
}

// "4:memory:/a", "1:name=systemd:/", "3:cpu,cpuacct:/b", "0::/c": the path may hold colons, the
// others may not.
Result<std::map<std::string, std::string>> ParseProcCgroup(std::string_view text) {
  std::map<std::string, std::string> all;
  for (std::string_view line : Split(text, '\n')) {
    if (line.empty()) continue;
    auto malformed = [&] {
      return Error(Code::kInternal, StrCat("cgroup of process: malformed line ", Quote(line)));
    };
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) return malformed();
    const std::string_view path = line.substr(second + 1);
    const Result<int64_t> id = ParseInt(line.substr(0, first), 0, INT32_MAX, "hierarchy");
    if (!id || !path.starts_with('/')) return malformed();
    for (std::string_view controller : Split(line.substr(first + 1, second - first - 1), ','))
      if (controller.empty() != (*id == 0) || !all.emplace(controller, path).second)
        return malformed();
  }
  return all;
}

}  // namespace berth::os
