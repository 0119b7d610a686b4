// SPDX-License-Identifier: Apache-2.0
// Owner, mode, extended attributes and times of an entry, set through its open fd only
// (CVE-2021-32760). Pure of state.
#pragma once

#include <string_view>

#include "base/result.h"
#include "image/unpack/tar_entry.h"

namespace berth::image::unpack {

// In the order that keeps what the steps before have set: chown(2) clears set-id bits and
// capabilities.
Result<> SetOwnerAndMode(int fd, const TarEntry& entry);
// Only user.*, security.capability and POSIX ACLs: labels of another host's security module and
// attributes by which a layer could speak to overlayfs (trusted.*, user.overlay.*) are left out.
Result<> SetXattrs(int fd, const TarEntry& entry);
bool IsKeptXattr(std::string_view name);
// atime (the mtime when the entry has none), mtime.
void TimesOf(const TarEntry& entry, struct timespec times[2]);

}  // namespace berth::image::unpack
