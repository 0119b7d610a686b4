// SPDX-License-Identifier: Apache-2.0
#include "monitor/kill.h"

#include <signal.h>
#include <time.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/strings.h"
#include "monitor/pidfd.h"
#include "os/cgroup.h"
#include "os/dir_fd.h"
#include "os/process.h"

namespace berth::monitor {

namespace {

constexpr const char* kCgroupRoot = "/sys/fs/cgroup";
constexpr size_t kMaxProcFile = 64U << 10;
constexpr int kRounds = 50;

struct Relation {
  int pid = 0;
  int parent = 0;
  int session = 0;
  bool zombie = false;
};

// proc(5), /proc/<pid>/stat: the command may hold anything, so the fields count from its last
// parenthesis.
std::optional<Relation> ReadRelation(const os::DirFd& proc, std::string_view name) {
  Result<int64_t> pid = ParseInt(name, 1, INT32_MAX, "pid");
  if (!pid) return {};
  Result<std::string> stat = proc.ReadFile(StrCat(name, "/stat"), kMaxProcFile);
  if (!stat) return {};
  const size_t end = stat->rfind(") ");
  if (end == std::string::npos) return {};
  const auto fields = Split(std::string_view(*stat).substr(end + 2), ' ');
  if (fields.size() < 4) return {};
  Result<int64_t> parent = ParseInt(fields[1], 0, INT32_MAX, "ppid");
  Result<int64_t> session = ParseInt(fields[3], 0, INT32_MAX, "session");
  if (!parent || !session) return {};
  return Relation{static_cast<int>(*pid), static_cast<int>(*parent), static_cast<int>(*session),
                  fields[0] == "Z" || fields[0] == "X"};
}

Result<std::vector<Relation>> ReadAllRelations(const os::DirFd& proc) {
  std::vector<Relation> all;
  for (const std::string& name : TRY(proc.List())) {
    if (name[0] < '1' || name[0] > '9') continue;
    if (std::optional<Relation> one = ReadRelation(proc, name)) all.push_back(*one);
  }
  return all;
}

std::vector<int> TreeOf(int root, const std::vector<Relation>& all) {
  std::vector<int> tree{root};
  for (size_t i = 0; i < tree.size(); ++i) {
    for (const Relation& r : all) {
      const bool belongs = r.parent == tree[i] || (i == 0 && r.session == root);
      if (belongs && std::find(tree.begin(), tree.end(), r.pid) == tree.end())
        tree.push_back(r.pid);
    }
  }
  return tree;
}

}  // namespace

Result<std::map<std::string, std::string>> ReadGroups(int pid) {
  os::DirFd proc =
      TRY(os::DirFd::OpenTrusted(pid == 0 ? "/proc/thread-self" : StrCat("/proc/", pid)));
  return os::ParseProcCgroup(TRY(proc.ReadFile("cgroup", kMaxProcFile)));
}

std::string KillableGroup(const std::map<std::string, std::string>& groups,
                          const std::map<std::string, std::string>& own) {
  for (const char* controller : {"", "pids", "freezer", "devices", "memory", "cpu"}) {
    const auto found = groups.find(controller);
    if (found == groups.end() || !os::Cgroups::CheckPath(found->second)) continue;
    const std::string& path = found->second;
    const bool ours = std::any_of(own.begin(), own.end(), [&](const auto& entry) {
      return StrCat(entry.second, "/").starts_with(StrCat(path, "/"));
    });
    if (!ours) return path;
  }
  return "";
}

Result<> KillGroup(const std::string& path) {
  os::Cgroups cgroups = TRY(os::Cgroups::Detect(kCgroupRoot));
  return cgroups.Kill(path);
}

Result<> KillTree(int pid) {
  os::DirFd proc = TRY(os::DirFd::OpenTrusted("/proc"));
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<Relation> before = TRY(ReadAllRelations(proc));
    bool alive = false;
    for (int member : TreeOf(pid, before)) {
      const auto known = std::find_if(before.begin(), before.end(),
                                      [&](const Relation& r) { return r.pid == member; });
      if (known == before.end() || known->zombie) continue;
      Result<os::Fd> pidfd = os::Process::OpenPidFd(member);
      if (!pidfd) continue;
      // Only who is still who it was: the number may have been used again before the pidfd was
      // opened.
      std::optional<Relation> now = ReadRelation(proc, StrCat(member));
      if (!now || now->session != known->session) continue;
      alive = true;
      (void)SendSignal(pidfd->get(), SIGKILL);
    }
    if (!alive) return Ok();
    const timespec pause{.tv_sec = 0, .tv_nsec = 2'000'000};
    ::nanosleep(&pause, nullptr);
  }
  return Error(Code::kDeadlineExceeded, StrCat("kill processes of exec ", pid, ": some are left"));
}

}  // namespace berth::monitor
