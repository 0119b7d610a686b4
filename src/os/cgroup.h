// SPDX-License-Identifier: Apache-2.0
// Control groups v1 and v2 behind one owner: a path below every hierarchy at once (cgroups(7)).
// Cgroups belongs to the daemon and is immutable; any thread. The root is a parameter, so tests
// build fake trees.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/dir_fd.h"

namespace berth::os {

enum class CgroupMode {
  kV2,      // one unified hierarchy
  kV1,      // controllers on v1 hierarchies only
  kHybrid,  // v1, and a cgroup2 mounted beside them
};

class Cgroups {
 public:
  // `root` is /sys/fs/cgroup or a fixture. Reads what is mounted there; FailedPrecondition when
  // nothing is.
  static Result<Cgroups> Detect(const std::string& root);

  CgroupMode mode() const { return mode_; }
  // v1: the hierarchies' directory names ("cpu", "memory", ...); v2: the one entry "".
  const std::vector<std::string>& hierarchies() const { return hierarchies_; }

  // Absolute-looking path such as "/kubepods/pod1": no "..", no empty or "." element, no NUL, <
  // 4096 bytes, every element < 256. InvalidArgument otherwise.
  static Result<std::string> CheckPath(std::string_view path);

  // Makes path on every hierarchy (v2: also enables the parents' controllers below). Existing is
  // fine.
  Result<> Create(std::string_view path) const;
  // Removes the empty group and, deepest first, its empty children, on every hierarchy; kills
  // nothing. Not there is success; FailedPrecondition while processes are in it.
  Result<> Remove(std::string_view path) const;
  Result<bool> Exists(std::string_view path) const;
  // pids in the group itself (cgroup.procs) of the first hierarchy that has it.
  Result<std::vector<int>> Processes(std::string_view path) const;
  // Moves a process in, on every hierarchy.
  Result<> Add(std::string_view path, int pid) const;
  // SIGKILL to everything in the group and below it: cgroup.kill on v2; on v1 by pidfd, repeated
  // until empty or the rounds are over.
  Result<> Kill(std::string_view path) const;
  // One file of one controller ("memory", "memory.limit_in_bytes"); NotFound when missing. For v2
  // the controller is ignored. Read and OpenFile also take the root group, "/".
  Result<std::string> Read(std::string_view path, std::string_view controller,
                           std::string_view file) const;
  Result<> Write(std::string_view path, std::string_view controller, std::string_view file,
                 std::string_view value) const;
  // The file open for reading, for who reads it often (pread(2) from 0 gives the new content each time); as Read
  // otherwise.
  Result<Fd> OpenFile(std::string_view path, std::string_view controller,
                      std::string_view file) const;

 private:
  Cgroups(CgroupMode mode, DirFd root, std::vector<std::string> hierarchies)
      : mode_(mode), root_(std::move(root)), hierarchies_(std::move(hierarchies)) {}
  CgroupMode mode_;
  DirFd root_;
  std::vector<std::string> hierarchies_;
};

// /proc/<pid>/cgroup (cgroups(7)): controller (v2: "") -> path. A malformed line is an error.
Result<std::map<std::string, std::string>> ParseProcCgroup(std::string_view text);

}  // namespace berth::os
