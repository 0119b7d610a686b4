// SPDX-License-Identifier: Apache-2.0
// What the files that implement DirFd share: openat2(2), the last element of a name, directory
// entries. Private to src/os.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/fd.h"

namespace berth::os::internal {

// openat2(2) with O_CLOEXEC, tried again after EINTR and EAGAIN (a rename raced with "..").
// EXDEV and ELOOP (the name leads out, or through a link or mount) are FailedPrecondition.
Result<Fd> OpenAt2(int dir, std::string_view rel, int flags, mode_t mode, uint64_t resolve);

// The directory that holds rel's last element, and that element; for system calls without a resolve
// argument.
struct Place {
  Fd holder;  // empty when rel has one element
  int dir = -1;
  std::string name;
};
// InvalidArgument when the last element is empty, "." or "..", or rel holds a NUL byte.
Result<Place> FindPlace(int dir, std::string_view rel);

// Calls `visit` with each entry but "." and ".." until it returns false; `d_type` is as in
// getdents64(2). Reads from the start of the directory and moves its offset.
Result<> ForEachEntry(
    int dir, const std::function<bool(std::string_view name, unsigned char d_type)>& visit);

// 16 random hexadecimal characters, for temporary names.
Result<std::string> RandomName();

}  // namespace berth::os::internal
