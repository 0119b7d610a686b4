// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/user_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"
#include "image/unpack/user_database.h"
#include "os/dir_fd.h"
#include "os/fd.h"

namespace berth::image::unpack {

namespace {

Result<os::Fd> Open(int root, const std::string& path, int flags) {
  struct open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
  if (fd < 0) return ErrnoError(StrCat("open /", path));
  return os::Fd(static_cast<int>(fd));
}

Result<> CheckRegular(int fd, const std::string& path) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) return ErrnoError(StrCat("stat /", path));
  if (!S_ISREG(st.st_mode))
    return Error(Code::kFailedPrecondition, StrCat("/", path, " is not a regular file"));
  if (st.st_size > static_cast<off_t>(kMaxUserFile))
    return Error(Code::kResourceExhausted,
                 StrCat("/", path, " is larger than ", kMaxUserFile, " bytes"));
  return Ok();
}

}  // namespace

Result<std::string> ReadUserFile(int root, const std::string& path) {
  // The type is checked before anything is opened that could block or act.
  Result<os::Fd> seen = Open(root, path, O_PATH);
  if (!seen) {
    const int err = seen.error().sys_errno();
    if (err == ENOENT || err == ENOTDIR) return std::string();
    return std::move(seen.error());
  }
  TRY(CheckRegular(seen->get(), path));
  const os::Fd file = TRY(Open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  TRY(CheckRegular(file.get(), path));
  return TRY(os::ReadAll(file.get(), kMaxUserFile), StrCat("read /", path));
}

}  // namespace berth::image::unpack
