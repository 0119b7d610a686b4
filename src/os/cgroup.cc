// SPDX-License-Identifier: Apache-2.0
// v2:      <root>/kubepods/pod1
// v1:      <root>/<hierarchy>/kubepods/pod1 on each of cpu, memory, ..., systemd
// hybrid:  as v1; <root>/unified is a cgroup2 without controllers and is left alone
#include "os/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/log.h"
#include "base/rollback.h"
#include "base/strings.h"

namespace berth::os {

namespace {

constexpr size_t kFileLimit = 4U << 20;

Result<bool> HasMagic(const DirFd& dir, long magic) {
  struct statfs st{};
  if (::fstatfs(dir.get(), &st) < 0) return ErrnoError("statfs");
  return st.f_type == magic;
}

// By what is mounted there; in a fixture by the file that only a cgroup2 has.
Result<bool> IsV2(const DirFd& dir) {
  if (TRY(HasMagic(dir, CGROUP2_SUPER_MAGIC))) return true;
  return dir.Exists("cgroup.controllers");
}

struct Found {
  std::vector<std::string> mounted;  // cgroup v1 file systems
  std::vector<std::string> plain;    // ordinary directories: hierarchies only of a fixture
  bool unified = false;
};

Result<Found> Look(const DirFd& root) {
  Found found;
  for (std::string& name : TRY(root.List())) {
    // "cpu" may be a link to "cpu,cpuacct": the hierarchy counts once, under its own name.
    if (!S_ISDIR(TRY(root.Stat(name)).st_mode)) continue;
    DirFd dir = TRY(root.OpenDir(name));
    if (name == "unified" || TRY(HasMagic(dir, CGROUP2_SUPER_MAGIC)))
      found.unified = found.unified || TRY(IsV2(dir));
    else if (TRY(HasMagic(dir, CGROUP_SUPER_MAGIC)))
      found.mounted.push_back(std::move(name));
    else if (!TRY(HasMagic(dir, SYSFS_MAGIC)))
      found.plain.push_back(std::move(name));
  }
  return found;
}

}  // namespace

Result<Cgroups> Cgroups::Detect(const std::string& root) {
  DirFd dir = TRY(DirFd::OpenTrusted(root), "cgroup root");
  if (TRY(IsV2(dir), root)) return Cgroups(CgroupMode::kV2, std::move(dir), {""});
  Found found = TRY(Look(dir), root);
  std::vector<std::string>& names = found.mounted.empty() ? found.plain : found.mounted;
  if (names.empty())
    return Error(Code::kFailedPrecondition, StrCat(root, ": no cgroup hierarchy is mounted"));
  std::sort(names.begin(), names.end());
  return Cgroups(found.unified ? CgroupMode::kHybrid : CgroupMode::kV1, std::move(dir),
                 std::move(names));
}

Result<std::string> Cgroups::CheckPath(std::string_view path) {
  auto refuse = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, StrCat("cgroup path ", Quote(path), ": ", why));
  };
  if (!path.starts_with('/')) return refuse("does not start with a slash");
  if (path.size() >= 4096) return refuse("too long");
  if (path.find('\0') != std::string_view::npos) return refuse("holds a NUL byte");
  for (std::string_view piece : Split(path.substr(1), '/')) {
    if (piece.empty() || piece == "." || piece == "..")
      return refuse("has an empty or dot element");
    if (piece.size() >= 256) return refuse("has an element of more than 255 bytes");
  }
  return std::string(path);
}

namespace {

// Below the root: "memory/kubepods/pod1", on v2 "kubepods/pod1".
std::string Below(const std::string& hierarchy, std::string_view path) {
  return hierarchy.empty() ? std::string(path.substr(1)) : StrCat(hierarchy, path);
}

Result<> WriteIn(const DirFd& dir, std::string_view file, std::string_view value) {
  Fd fd = TRY(dir.Open(file, O_WRONLY | O_TRUNC));
  ssize_t n;
  do n = ::write(fd.get(), value.data(), value.size());
  while (n < 0 && errno == EINTR);
  if (n < 0) return ErrnoError(StrCat(file, ": write ", Quote(value)));
  if (static_cast<size_t>(n) != value.size())
    return Error(Code::kInternal, StrCat(file, ": short write"));
  return Ok();
}

// v1: until both files have a value, no process can be added (cpuset(7)).
Result<> InheritCpuset(const DirFd& parent, const DirFd& child) {
  for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
    if (!TRY(child.Exists(file))) continue;  // not the cpuset hierarchy
    if (!TrimSpace(TRY(child.ReadFile(file, kFileLimit))).empty()) continue;
    const std::string value = TRY(parent.ReadFile(file, kFileLimit));
    TRY(WriteIn(child, file, TrimSpace(value)));
  }
  return Ok();
}

// v2: what `parent` has, its children may use (cgroups(7), cgroup.subtree_control).
Result<> EnableControllers(const DirFd& parent) {
  if (!TRY(parent.Exists("cgroup.subtree_control"))) return Ok();
  const std::string available = TRY(parent.ReadFile("cgroup.controllers", kFileLimit));
  const std::string enabled = TRY(parent.ReadFile("cgroup.subtree_control", kFileLimit));
  const auto on = Split(TrimSpace(enabled), ' ');
  for (std::string_view controller : Split(TrimSpace(available), ' ')) {
    if (controller.empty() || std::find(on.begin(), on.end(), controller) != on.end()) continue;
    // One at a time: one that this node cannot give away (cpu with real-time processes about) must
    // not cost the others. A limit that needs it is refused later by who sets it.
    Result<> written = WriteIn(parent, "cgroup.subtree_control", StrCat("+", controller));
    if (!written)
      LogWarn(StrCat("enable controller ", controller, ": ", written.error().message()));
  }
  return Ok();
}

// Makes the elements of `path` one by one below `at`, registering the undo of each new one.
Result<> MakeGroups(DirFd at, bool v2, std::string_view path, Rollback& undo) {
  for (std::string_view piece : Split(path.substr(1), '/')) {
    if (v2) TRY(EnableControllers(at), piece);
    Result<DirFd> made = at.MakeDir(piece, 0755);
    if (made) {
      auto parent = std::make_shared<DirFd>(TRY(at.Duplicate()));
      undo.Add("remove cgroup", [parent, name = std::string(piece)]() -> Result<> {
        if (::unlinkat(parent->get(), name.c_str(), AT_REMOVEDIR) == 0) return Ok();
        return ErrnoError(name);
      });
    } else if (made.error().code() != Code::kAlreadyExists) {
      return std::move(made.error());
    }
    DirFd child = TRY(at.OpenDir(piece));
    if (!v2) TRY(InheritCpuset(at, child), piece);
    at = std::move(child);
  }
  return Ok();
}

}  // namespace

Result<> Cgroups::Create(std::string_view path) const {
  TRY(CheckPath(path));
  Rollback undo;
  for (const std::string& hierarchy : hierarchies_) {
    DirFd top = hierarchy.empty() ? TRY(root_.Duplicate()) : TRY(root_.OpenDir(hierarchy));
    TRY(MakeGroups(std::move(top), mode_ == CgroupMode::kV2, path, undo),
        StrCat("make cgroup ", path, " in ", hierarchy.empty() ? "v2" : hierarchy));
  }
  undo.Commit();
  return Ok();
}

Result<bool> Cgroups::Exists(std::string_view path) const {
  TRY(CheckPath(path));
  for (const std::string& hierarchy : hierarchies_)
    if (TRY(root_.Exists(Below(hierarchy, path)))) return true;
  return false;
}

Result<> Cgroups::Add(std::string_view path, int pid) const {
  TRY(CheckPath(path));
  if (pid <= 0) return Error(Code::kInvalidArgument, StrCat("pid ", pid, ": not a process"));
  for (const std::string& hierarchy : hierarchies_) {
    const std::string what = StrCat("add pid ", pid, " to cgroup ", path);
    DirFd group = TRY(root_.OpenDir(Below(hierarchy, path)), what);
    Result<> added = WriteIn(group, "cgroup.procs", StrCat(pid));
    if (added) continue;
    const bool gone = added.error().sys_errno() == ESRCH;
    Error error = std::move(added.error()).Wrap(what);
    if (gone) return std::move(error).WithCode(Code::kNotFound);
    return error;
  }
  return Ok();
}

namespace {

// The hierarchy that has the controller: "cpu" may be "cpu,cpuacct".
Result<std::string> HierarchyOf(const Cgroups& cgroups, std::string_view controller) {
  if (cgroups.mode() == CgroupMode::kV2) return std::string();
  for (const std::string& hierarchy : cgroups.hierarchies()) {
    const auto names = Split(hierarchy, ',');
    if (hierarchy == controller || std::find(names.begin(), names.end(), controller) != names.end())
      return hierarchy;
  }
  return Error(Code::kNotFound, StrCat("cgroup controller ", Quote(controller), ": not mounted"));
}

Result<> CheckFile(std::string_view file) {
  if (file.empty() || file == "." || file == ".." || file.find('/') != std::string_view::npos)
    return Error(Code::kInvalidArgument, StrCat("cgroup file ", Quote(file), ": not a plain name"));
  return Ok();
}

// Where a file to read is, below the root directory. The root group "/" has files to read too.
Result<std::string> FilePath(const Cgroups& cgroups, std::string_view path,
                             std::string_view controller, std::string_view file) {
  const bool root = path == "/";
  if (!root) TRY(Cgroups::CheckPath(path));
  TRY(CheckFile(file));
  const std::string hierarchy = TRY(HierarchyOf(cgroups, controller));
  const std::string group = root ? hierarchy : Below(hierarchy, path);
  return group.empty() ? std::string(file) : StrCat(group, "/", file);
}

}  // namespace

Result<std::string> Cgroups::Read(std::string_view path, std::string_view controller,
                                  std::string_view file) const {
  return TRY(root_.ReadFile(TRY(FilePath(*this, path, controller, file)), kFileLimit),
             "read cgroup file");
}

Result<Fd> Cgroups::OpenFile(std::string_view path, std::string_view controller,
                             std::string_view file) const {
  return TRY(root_.Open(TRY(FilePath(*this, path, controller, file)), O_RDONLY | O_NONBLOCK),
             "open cgroup file");
}

Result<> Cgroups::Write(std::string_view path, std::string_view controller, std::string_view file,
                        std::string_view value) const {
  TRY(CheckPath(path));
  TRY(CheckFile(file));
  const std::string group = Below(TRY(HierarchyOf(*this, controller)), path);
  DirFd dir = TRY(root_.OpenDir(group), "write cgroup file");
  TRY(WriteIn(dir, file, value), StrCat("cgroup ", path));
  return Ok();
}

}  // namespace berth::os
