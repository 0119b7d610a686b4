// SPDX-License-Identifier: Apache-2.0
// User namespaces (user_namespaces(7)) and mounts whose ids they shift (mount_setattr(2),
// MOUNT_ATTR_IDMAP). A namespace lives as long as a descriptor of it. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "os/fd.h"
#include "os/mount.h"
#include "os/process.h"

namespace berth::os {

// A user namespace and those that belong to it: root of the former rules over the others. Nothing
// runs in them yet.
struct UserNs {
  Fd user, network, ipc, uts;
};

// The ids `inside`, inside + 1 ... are `outside`, outside + 1 ... of ours; users and groups alike.
struct IdRange {
  uint32_t inside = 0, outside = 0, count = 0;
};

// unshare(2) of a user namespace is refused to a program with threads: `holder` is started, must
// unshare CLONE_NEWUSER, NEWNET, NEWIPC and NEWUTS, write a byte to its stdout and wait for the end
// of its stdin; it is killed here when the maps are written and the descriptors held.
// DeadlineExceeded when the byte does not come.
Result<UserNs> MakeUserNs(SpawnOptions holder, const IdRange& range,
                          std::chrono::milliseconds timeout);

// Opens a namespace file; FailedPrecondition when it is something else than a user namespace.
Result<Fd> OpenUserNs(const std::string& path);

// The ids that the files of `mount`, detached and not yet shifted, have on disk are taken for ids
// inside of `user_ns`. FailedPrecondition when its file system cannot.
Result<> ShiftIds(const Mount& mount, int user_ns);

}  // namespace berth::os
