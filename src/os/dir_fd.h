// SPDX-License-Identifier: Apache-2.0
// An open directory, and everything below it by openat2(2): the only way Berth reaches a file by
// name. Owned by one object; any thread may use a const DirFd. Errors carry errno and the relative
// name.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace berth::os {

enum class Resolve {
  // Berth's own trees: stay below, no symlink, no magic link, no mount crossing is needed
  // (RESOLVE_BENEATH|NO_SYMLINKS).
  kOwn,
  // A tree that belongs to an image or a container: `rel` is seen as from inside it
  // (RESOLVE_IN_ROOT|NO_MAGICLINKS).
  kInRoot,
};

enum class Durability {
  kNone,     // rename only: for state that a reboot voids
  kDurable,  // fsync(file), rename, fsync(directory)
};

class DirFd {
 public:
  DirFd() = default;
  explicit DirFd(Fd fd) : fd_(std::move(fd)) {}

  // An absolute path that the operator configured; symlinks are followed. Nothing else may be
  // opened by path.
  static Result<DirFd> OpenTrusted(const std::string& path);
  // The same, making what is missing of it with `mode` (like mkdir -p).
  static Result<DirFd> MakeTrusted(const std::string& path, mode_t mode);

  int get() const { return fd_.get(); }
  bool valid() const { return fd_.valid(); }
  Result<DirFd> Duplicate() const;
  // "/proc/self/fd/N": for system calls that only take a path. Valid while this object lives.
  std::string ProcPath() const;

  Result<Fd> Open(std::string_view rel, int flags, mode_t mode = 0,
                  Resolve resolve = Resolve::kOwn) const;
  Result<DirFd> OpenDir(std::string_view rel, Resolve resolve = Resolve::kOwn) const;
  // Makes one directory. AlreadyExists if it is there.
  Result<DirFd> MakeDir(std::string_view rel, mode_t mode) const;
  // Opens it, making it first when missing.
  Result<DirFd> MakeOrOpenDir(std::string_view rel, mode_t mode) const;
  Result<bool> Exists(std::string_view rel) const;
  // fstatat without following a last symlink. NotFound when missing.
  Result<struct stat> Stat(std::string_view rel) const;

  // Unlinks a file; not there is success.
  Result<> RemoveFile(std::string_view rel) const;
  // Removes a directory tree without following links or entering other mounts; not there is
  // success.
  Result<> RemoveTree(std::string_view rel) const;
  // renameat2(2) below this directory; with `replace` false an existing target is AlreadyExists.
  Result<> Rename(std::string_view from, std::string_view to, bool replace) const;
  // Names in the directory itself, without "." and "..", in no order; ResourceExhausted above
  // `limit`.
  Result<std::vector<std::string>> List(size_t limit = 1'000'000) const;

  // The whole of a regular file; FailedPrecondition if it is anything else, ResourceExhausted above
  // `limit` bytes. Opens O_PATH first, checks the type, then reopens O_NONBLOCK: a FIFO or device
  // cannot make it wait.
  Result<std::string> ReadFile(std::string_view rel, size_t limit,
                               Resolve resolve = Resolve::kOwn) const;
  // Writes rel's content so that a reader sees the old or the new whole: temporary name, then
  // rename.
  Result<> WriteFile(std::string_view rel, std::string_view bytes, mode_t mode,
                     Durability durability = Durability::kNone) const;
  Result<> Sync() const;

 private:
  Fd fd_;
};

// Reads to the end of the file; ResourceExhausted above `limit` bytes.
Result<std::string> ReadAll(int fd, size_t limit);
// Writes everything, going on after short writes and EINTR.
Result<> WriteAll(int fd, std::string_view bytes);

// A directory of its own under $TMPDIR, removed with all it holds at the end. For tests and
// command-line tools.
class TempDir {
 public:
  static Result<TempDir> Make();
  TempDir(TempDir&&) noexcept;
  TempDir& operator=(TempDir&&) = delete;
  ~TempDir();
  const DirFd& dir() const { return dir_; }
  const std::string& path() const { return path_; }

 private:
  TempDir(DirFd parent, std::string name, std::string path, DirFd dir);
  DirFd parent_;
  std::string name_;
  std::string path_;
  DirFd dir_;
};

}  // namespace berth::os
