// SPDX-License-Identifier: Apache-2.0
// A program's file as a sealed copy in memory (memfd_create(2), F_SEAL_WRITE), to be run by execveat(2): nobody, not even a
// container that gets hold of /proc/<pid>/exe, can write to it (CVE-2019-5736). Owned by whoever made it; any one thread.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "os/fd.h"

namespace berth::os {

// Which version of a file it is: another one has another inode, or another time of its last change.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;       // bytes
  int64_t changed_at = 0;  // st_ctim, wall nanoseconds; nobody can set it back
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};
// Of what `path` leads to now; an error with errno if it leads nowhere. `path` is the operator's.
Result<FileIdentity> IdentityOf(const char* path);

struct SealedProgram {
  Fd file;
  FileIdentity source;
};
// InvalidArgument: not a regular file, not an ELF program (a script cannot be run from an fd that is closed on exec), or larger
// than 64 MiB; PermissionDenied: it may not be executed (its mode, a noexec mount); Aborted: it was changed while it was
// copied; else errno's.
Result<SealedProgram> SealProgram(const char* path);

}  // namespace berth::os
