// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "image/unpack/tar_entry.h"

namespace berth::image::unpack {

namespace {

// Twice the depth that CleanPath allows, and what 40 symlinks, the kernel's own limit, may add.
constexpr int kMaxSteps = 2048;
constexpr uint64_t kInside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

Result<os::Fd> Open(int root, const std::string& path, int flags, uint64_t resolve) {
  struct open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  const char* name = path.empty() ? "." : path.c_str();
  for (;;) {
    const long fd = ::syscall(SYS_openat2, root, name, &how, sizeof how);
    if (fd >= 0) return os::Fd(static_cast<int>(fd));
    if (errno != EINTR && errno != EAGAIN) return ErrnoError(Quote(path, 128));
  }
}

std::string ParentPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

std::string BaseName(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

bool IsMissing(const Error& error) { return error.sys_errno() == ENOENT; }

Result<std::string> ReadLink(int parent, const std::string& name) {
  std::string target(4096, '\0');
  const ssize_t n = ::readlinkat(parent, name.c_str(), target.data(), target.size());
  if (n < 0) return ErrnoError(Quote(name, 128));
  target.resize(static_cast<size_t>(n));
  return target;
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

Result<struct stat> Tree::Stat(int parent, const std::string& name) {
  struct stat st{};
  if (::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return ErrnoError(Quote(name, 128));
  return st;
}

bool Tree::IsWhiteout(const struct stat& st) {
  return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

Result<Place> Tree::PlaceFor(const std::string& path) {
  const std::string dir = ParentPath(path);
  if (!cached_ || cached_path_ != dir) {
    int steps = kMaxSteps;
    cached_ = TRY(OpenOrMake(dir, steps));
    cached_path_ = dir;
  }
  return Place{cached_.get(), BaseName(path)};
}

Result<os::Fd> Tree::ParentOf(const std::string& path, std::string& name) const {
  name = BaseName(path);
  return Open(root_.get(), ParentPath(path), O_PATH | O_DIRECTORY, kInside);
}

Result<os::Fd> Tree::OpenDir(const std::string& path) const {
  return Open(root_.get(), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, kInside);
}

// Asks the kernel first; only what is missing is walked, from the end of the path to its start.
Result<os::Fd> Tree::OpenOrMake(const std::string& dir, int& steps) {
  Result<os::Fd> there = Open(root_.get(), dir, O_RDONLY | O_DIRECTORY, kInside);
  if (there || !IsMissing(there.error()) || dir.empty()) return there;
  if (--steps < 0) return ErrnoError(Quote(dir, 128), ELOOP);
  const os::Fd parent = TRY(OpenOrMake(ParentPath(dir), steps));
  const std::string name = BaseName(dir);
  Result<struct stat> st = Stat(parent.get(), name);
  if (st && S_ISLNK(st->st_mode)) {
    // A symlink to what is not there (yet): its target is made, inside the tree.
    const std::string target = TRY(ReadLink(parent.get(), name));
    const bool absolute = target.starts_with('/');
    const std::string from = absolute ? target : StrCat(ParentPath(dir), "/", target);
    return OpenOrMake(TRY(CleanPath(from, Limits())), steps);
  }
  TRY(charge_());
  if (::mkdirat(parent.get(), name.c_str(), 0755) != 0)
    return ErrnoError(StrCat("make ", Quote(dir, 128)));
  // With a symlink on the way the path is not the directory's own: then it is not recorded.
  if (Open(root_.get(), dir, O_PATH | O_DIRECTORY, kInside | RESOLVE_NO_SYMLINKS))
    implied_.insert(dir);
  return Open(parent.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, kInside);
}

Result<> Tree::Remove(const Place& place) {
  const struct stat st = TRY(Stat(place.parent, place.name));
  if (!S_ISDIR(st.st_mode)) {
    if (::unlinkat(place.parent, place.name.c_str(), 0) != 0)
      return ErrnoError(StrCat("remove ", Quote(place.name, 128)));
    return Ok();
  }
  const os::Fd dir =
      TRY(Open(place.parent, place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, kInside));
  TRY(RemoveChildren(dir.get(), 0));
  if (::unlinkat(place.parent, place.name.c_str(), AT_REMOVEDIR) != 0)
    return ErrnoError(StrCat("remove ", Quote(place.name, 128)));
  return Ok();
}

Result<> Tree::RemoveChildren(int dir, int depth) {
  // No deeper than CleanPath lets anything be made, twice over for symlinks on the way.
  if (depth > 1024) return Error(Code::kResourceExhausted, "remove: directories too deep");
  const int copy = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseDir> stream(copy >= 0 ? ::fdopendir(copy) : nullptr);
  if (!stream) return ErrnoError("remove: read directory");
  std::vector<std::string> names;
  while (const struct dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  for (const std::string& name : names) {
    if (::unlinkat(dir, name.c_str(), 0) == 0) continue;
    if (errno != EISDIR) return ErrnoError(StrCat("remove ", Quote(name, 128)));
    {
      const os::Fd child = TRY(Open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, kInside));
      TRY(RemoveChildren(child.get(), depth + 1));
    }
    if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0)
      return ErrnoError(StrCat("remove ", Quote(name, 128)));
  }
  return Ok();
}

}  // namespace berth::image::unpack
