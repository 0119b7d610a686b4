// SPDX-License-Identifier: Apache-2.0
// A tree beside the one that a hostile layer is unpacked into: nothing in it may change, whatever
// the layer says. A value; one thread.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "os/dir_fd.h"

namespace berth::testing {

// Every entry below `dir` (an empty path is the directory itself): type and mode, inode, links, owner,
// size, mtime and ctime in nanoseconds, and what it holds or points to.
std::map<std::string, std::string> DescribeTree(const os::DirFd& dir);

class Canary {
 public:
  //   canary/file       "alive", 0640          canary/dir/inside   "alive"
  //   canary/setuid     04755                  canary/link         -> file
  //   canary/fifo
  static Result<Canary> Plant(const os::DirFd& where);
  const os::DirFd& dir() const { return dir_; }
  // What is not as it was, one line each; "" when all is well.
  std::string Changes() const;

 private:
  os::DirFd dir_;
  std::map<std::string, std::string> before_;
};

}  // namespace berth::testing
