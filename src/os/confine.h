// SPDX-License-Identifier: Apache-2.0
// Steps that turn a root process into one without privilege; for Berth's programs that read what strangers send. Each
// is called once, by main, while the process has one thread. Any doubt is an error, and the caller must exit. The
// system call filter: syscall_filter.h.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <functional>
#include <string>

#include "base/result.h"
#include "os/dir_fd.h"

namespace berth::os {

// Own mount and IPC namespace whose root is an empty tmpfs, read-only, nosuid, nodev, noexec; `fill` may put files there
// first. Nothing of the host's file system is in reach afterwards (pivot_root(2)).
Result<> EnterEmptyRoot(const std::function<Result<>(const DirFd& top)>& fill);

Result<> SetLimit(__rlimit_resource resource, rlim_t value, std::string_view what);

// No capabilities (bounding, ambient and inheritable sets too), no groups, no_new_privs, not dumpable.
// InvalidArgument when uid or gid is root.
Result<> DropPrivileges(uid_t uid, gid_t gid);

// The outcome: `status` is the text of /proc/self/status, opened before the root was replaced. FailedPrecondition naming
// the line that is not as DropPrivileges and a seccomp filter make it.
Result<> CheckConfined(const std::string& status, uid_t uid, gid_t gid);

}  // namespace berth::os
