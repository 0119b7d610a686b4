// SPDX-License-Identifier: Apache-2.0
#include "os/dir_fd.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>

#include <cerrno>

#include "base/strings.h"
#include "os/dir_internal.h"

namespace berth::os {

using internal::FindPlace;
using internal::OpenAt2;
using internal::Place;

namespace {

uint64_t ResolveFlags(Resolve resolve) {
  return resolve == Resolve::kOwn ? RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
                                  : RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
}

Result<> CheckAbsolute(const std::string& path) {
  if (path.empty() || path[0] != '/' || path.find('\0') != std::string::npos)
    return Error(Code::kInvalidArgument, StrCat(Quote(path), ": not an absolute path"));
  return Ok();
}

// mkdir(2) subtracts the umask, which is no business of the caller's.
Result<> FixMode(int fd, mode_t mode, std::string_view name) {
  struct stat st{};
  if (::fstat(fd, &st) < 0) return ErrnoError(Quote(name));
  const mode_t kept = st.st_mode & S_ISGID;  // inherited from the parent
  if ((st.st_mode & 07777U) == (mode | kept)) return Ok();
  if (::fchmod(fd, mode | kept) < 0) return ErrnoError(StrCat(Quote(name), ": set mode"));
  return Ok();
}

}  // namespace

Result<DirFd> DirFd::OpenTrusted(const std::string& path) {
  TRY(CheckAbsolute(path));
  int fd;
  do fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoError(path);
  return DirFd(Fd(fd));
}

Result<DirFd> DirFd::MakeTrusted(const std::string& path, mode_t mode) {
  TRY(CheckAbsolute(path));
  Fd at(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at) return ErrnoError("/");
  for (std::string_view piece : Split(path, '/')) {
    if (piece.empty()) continue;
    const std::string name(piece);
    const bool made = ::mkdirat(at.get(), name.c_str(), mode) == 0;
    if (!made && errno != EEXIST) return ErrnoError(StrCat(path, ": make ", name));
    // Only what we made is opened for reading: the parents need no more than search permission.
    const int access = made ? O_RDONLY : O_PATH;
    Fd next(::openat(at.get(), name.c_str(), access | O_DIRECTORY | O_CLOEXEC));
    if (!next) return ErrnoError(StrCat(path, ": open ", name));
    if (made) TRY(FixMode(next.get(), mode, path));
    at = std::move(next);
  }
  return OpenTrusted(StrCat("/proc/self/fd/", at.get()));
}

Result<DirFd> DirFd::Duplicate() const { return DirFd(TRY(fd_.Duplicate())); }

std::string DirFd::ProcPath() const { return StrCat("/proc/self/fd/", fd_.get()); }

Result<Fd> DirFd::Open(std::string_view rel, int flags, mode_t mode, Resolve resolve) const {
  return OpenAt2(fd_.get(), rel, flags, mode, ResolveFlags(resolve));
}

Result<DirFd> DirFd::OpenDir(std::string_view rel, Resolve resolve) const {
  return DirFd(TRY(Open(rel, O_RDONLY | O_DIRECTORY, 0, resolve)));
}

Result<DirFd> DirFd::MakeDir(std::string_view rel, mode_t mode) const {
  Place place = TRY(FindPlace(fd_.get(), rel));
  if (::mkdirat(place.dir, place.name.c_str(), mode) < 0) return ErrnoError(Quote(rel));
  auto finish = [&]() -> Result<DirFd> {
    Fd made = TRY(OpenAt2(place.dir, place.name, O_RDONLY | O_DIRECTORY, 0,
                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
    TRY(FixMode(made.get(), mode, rel));
    return DirFd(std::move(made));
  };
  Result<DirFd> made = finish();
  if (!made) ::unlinkat(place.dir, place.name.c_str(), AT_REMOVEDIR);
  return made;
}

Result<DirFd> DirFd::MakeOrOpenDir(std::string_view rel, mode_t mode) const {
  Result<DirFd> dir = OpenDir(rel);
  if (dir || dir.error().sys_errno() != ENOENT) return dir;
  // Not assigned to `dir`: tl::expected cannot move-assign without exceptions, as in the monitor.
  Result<DirFd> made = MakeDir(rel, mode);
  if (!made && made.error().code() == Code::kAlreadyExists) return OpenDir(rel);
  return made;
}

Result<bool> DirFd::Exists(std::string_view rel) const {
  Result<struct stat> st = Stat(rel);
  if (st) return true;
  if (st.error().code() == Code::kNotFound) return false;
  return std::move(st.error());
}

Result<struct stat> DirFd::Stat(std::string_view rel) const {
  struct stat st{};
  if (rel == ".") {
    if (::fstat(fd_.get(), &st) < 0) return ErrnoError(".");
    return st;
  }
  Place place = TRY(FindPlace(fd_.get(), rel));
  if (::fstatat(place.dir, place.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0)
    return ErrnoError(Quote(rel));
  return st;
}

Result<> DirFd::RemoveFile(std::string_view rel) const {
  Result<Place> place = FindPlace(fd_.get(), rel);
  if (!place) {
    if (place.error().sys_errno() == ENOENT) return Ok();
    return std::move(place.error());
  }
  if (::unlinkat(place->dir, place->name.c_str(), 0) < 0 && errno != ENOENT)
    return ErrnoError(StrCat("remove ", Quote(rel)));
  return Ok();
}

Result<> DirFd::Rename(std::string_view from, std::string_view to, bool replace) const {
  Place source = TRY(FindPlace(fd_.get(), from));
  Place target = TRY(FindPlace(fd_.get(), to));
  if (::renameat2(source.dir, source.name.c_str(), target.dir, target.name.c_str(),
                  replace ? 0 : RENAME_NOREPLACE) < 0)
    return ErrnoError(StrCat("rename ", Quote(from), " to ", Quote(to)));
  return Ok();
}

Result<std::vector<std::string>> DirFd::List(size_t limit) const {
  // An open file of its own: the offset of fd_ is shared by every thread that uses this object.
  Fd own = TRY(OpenAt2(fd_.get(), ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH));
  std::vector<std::string> names;
  bool full = false;
  TRY(internal::ForEachEntry(own.get(), [&](std::string_view name, unsigned char) {
    full = names.size() >= limit;
    if (!full) names.emplace_back(name);
    return !full;
  }));
  if (full)
    return Error(Code::kResourceExhausted, StrCat("directory with more than ", limit, " entries"));
  return names;
}

Result<> DirFd::Sync() const {
  if (::fsync(fd_.get()) < 0) return ErrnoError("sync directory");
  return Ok();
}

}  // namespace berth::os
