// SPDX-License-Identifier: Apache-2.0
// A file system being configured (fsopen(2)), whose errors carry the kernel's own words. Private to
// src/os.
#pragma once

#include <string>

#include "base/result.h"
#include "os/mount.h"

namespace berth::os::internal {

class FsContext {
 public:
  static Result<FsContext> Open(const char* type);
  Result<> SetString(const char* key, const std::string& value);
  Result<> SetFlag(const char* key);
  Result<> SetFd(const char* key, int fd);
  // FSCONFIG_CMD_CREATE; afterwards Finish makes the detached mount.
  Result<> CreateFs();
  Result<Mount> Finish(MountAttributes attributes);

 private:
  FsContext(std::string type, Fd fd) : type_(std::move(type)), fd_(std::move(fd)) {}
  Error Explain(std::string_view what, int err) const;
  std::string type_;
  Fd fd_;
};

}  // namespace berth::os::internal
