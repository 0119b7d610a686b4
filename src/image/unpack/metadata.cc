// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/metadata.h"

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"

namespace berth::image::unpack {

bool IsKeptXattr(std::string_view name) {
  if (name.starts_with("user.")) return !name.starts_with("user.overlay.") && name != "user.";
  return name == "security.capability" || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

Result<> SetOwnerAndMode(int fd, const TarEntry& entry) {
  // Each change is a transaction of the file system, and most files were made as they should be. What
  // they really are counts: a parent with setgid or a default ACL gives them something else.
  struct stat st{};
  if (::fstat(fd, &st) != 0) return ErrnoError("stat");
  const bool other_owner = st.st_uid != entry.uid || st.st_gid != entry.gid;
  if (other_owner && ::fchown(fd, entry.uid, entry.gid) != 0) return ErrnoError("set owner");
  // chown(2) takes setuid and setgid away.
  const bool cleared = other_owner && (entry.mode & 06000) != 0;
  if ((cleared || (st.st_mode & 07777) != entry.mode) && ::fchmod(fd, entry.mode) != 0)
    return ErrnoError("set mode");
  return Ok();
}

Result<> SetXattrs(int fd, const TarEntry& entry) {
  for (const auto& [name, value] : entry.xattrs) {
    if (!IsKeptXattr(name)) continue;
    if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) == 0) continue;
    // A store without ACLs or user attributes still runs most images; a lost file capability would
    // break silently.
    if (errno == EOPNOTSUPP && name != "security.capability") continue;
    return ErrnoError(StrCat("set ", Quote(name, 64)));
  }
  return Ok();
}

void TimesOf(const TarEntry& entry, struct timespec times[2]) {
  times[0] = entry.atime.value_or(entry.mtime);
  times[1] = entry.mtime;
}

}  // namespace berth::image::unpack
