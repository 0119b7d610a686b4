// SPDX-License-Identifier: Apache-2.0
// DirFd::RemoveTree: depth first, without recursion, with at most kHeldFds descriptors however deep
// the tree is. Below that depth the way back is "..", and must lead to the inode that we came from.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "os/dir_fd.h"
#include "os/dir_internal.h"

namespace berth::os {

namespace {

constexpr size_t kHeldFds = 32;
constexpr size_t kPendingNames = 64;
constexpr int kRounds = 1000;

class TreeRemover {
 public:
  // Removes the directory dir/name, which is not empty or may not be listed yet.
  Result<> Remove(int dir, const std::string& name) {
    TRY(Enter(dir, name));
    while (!frames_.empty()) TRY(Step(dir));
    return Ok();
  }

 private:
  struct Frame {
    std::string name;
    dev_t dev = 0;
    ino_t ino = 0;
    Fd fd;  // closed while the walk is far below
    std::vector<std::string> pending;
    int rounds = 0;
  };

  // Links and mounts are never entered: NO_XDEV gives EXDEV at a mount point.
  static Result<Fd> OpenBelow(int dir, const std::string& name, int flags) {
    return internal::OpenAt2(dir, name, flags | O_DIRECTORY | O_NOFOLLOW, 0,
                             RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  }

  static Result<Fd> OpenReadable(int dir, const std::string& name) {
    Result<Fd> opened = OpenBelow(dir, name, O_RDONLY);
    if (opened || opened.error().sys_errno() != EACCES) return opened;
    // Mode 000 and we are not root. chmod by name would follow a link put there meanwhile.
    Fd path = TRY(OpenBelow(dir, name, O_PATH));
    if (::chmod(StrCat("/proc/self/fd/", path.get()).c_str(), 0700) < 0)
      return ErrnoError(StrCat(Quote(name), ": set mode"));
    return OpenBelow(dir, name, O_RDONLY);
  }

  Result<> Enter(int dir, const std::string& name) {
    Result<Fd> opened = OpenReadable(dir, name);
    if (!opened) {
      if (opened.error().sys_errno() == ENOENT) return Ok();
      if (opened.error().sys_errno() == EXDEV)
        return Error(Code::kFailedPrecondition, StrCat(Quote(name), ": is a mount point"));
      return std::move(opened.error());
    }
    Frame frame;
    frame.name = name;
    frame.fd = std::move(*opened);
    struct stat st{};
    if (::fstat(frame.fd.get(), &st) < 0) return ErrnoError(Quote(name));
    frame.dev = st.st_dev;
    frame.ino = st.st_ino;
    // Best effort: where it matters, unlinkat below says so.
    if ((st.st_mode & S_IRWXU) != S_IRWXU) (void)::fchmod(frame.fd.get(), 0700);
    if (frames_.size() >= kHeldFds) frames_.back().fd.Reset();
    frames_.push_back(std::move(frame));
    return Ok();
  }

  // Goes down, or empties the deepest directory, or removes it.
  Result<> Step(int top) {
    Frame& frame = frames_.back();
    if (frame.pending.empty()) TRY(UnlinkEntries(frame));
    if (!frame.pending.empty()) {
      std::string name = std::move(frame.pending.back());
      frame.pending.pop_back();
      // Enter resets frame.fd only after it has opened the child.
      return Enter(frame.fd.get(), name);
    }
    return Leave(top);
  }

  // Unlinks files and empty directories; other directories become pending, at most kPendingNames at
  // a time.
  static Result<> UnlinkEntries(Frame& frame) {
    const int fd = frame.fd.get();
    std::optional<Error> failed;
    Result<> listed = internal::ForEachEntry(fd, [&](std::string_view entry, unsigned char type) {
      std::string name(entry);
      if (type != DT_DIR) {
        if (::unlinkat(fd, name.c_str(), 0) == 0 || errno == ENOENT) return true;
        if (errno != EISDIR) {
          failed.emplace(BusyOr(name, errno));
          return false;
        }
      }
      if (::unlinkat(fd, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
      if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES) {
        failed.emplace(BusyOr(name, errno));
        return false;
      }
      frame.pending.push_back(std::move(name));
      return frame.pending.size() < kPendingNames;
    });
    if (failed) return std::move(*failed);
    // A directory that somebody else has removed meanwhile cannot be listed: there is nothing in it.
    if (!listed && listed.error().sys_errno() != ENOENT) return listed;
    return Ok();
  }

  static Error BusyOr(const std::string& name, int err) {
    Error error = ErrnoError(StrCat("remove ", Quote(name)), err);
    if (err == EBUSY) return std::move(error).WithCode(Code::kFailedPrecondition);
    return error;
  }

  Result<> Leave(int top) {
    Frame done = std::move(frames_.back());
    frames_.pop_back();
    if (!frames_.empty() && !frames_.back().fd.valid()) TRY(ReopenParent(done));
    const int parent = frames_.empty() ? top : frames_.back().fd.get();
    if (::unlinkat(parent, done.name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return Ok();
    if (errno != ENOTEMPTY && errno != EEXIST) return BusyOr(done.name, errno);
    // Somebody put something in meanwhile: look again, but not for ever.
    if (++done.rounds > kRounds)
      return Error(Code::kAborted, StrCat(Quote(done.name), ": is being written to"));
    if (frames_.size() >= kHeldFds) frames_.back().fd.Reset();
    frames_.push_back(std::move(done));
    return Ok();
  }

  Result<> ReopenParent(const Frame& child) {
    Frame& parent = frames_.back();
    Fd up(::openat(child.fd.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat st{};
    if (!up || ::fstat(up.get(), &st) < 0)
      return ErrnoError(StrCat(Quote(child.name), ": open parent"));
    if (st.st_dev != parent.dev || st.st_ino != parent.ino)
      return Error(Code::kAborted, StrCat(Quote(child.name), ": was moved during its removal"));
    parent.fd = std::move(up);
    return Ok();
  }

  std::vector<Frame> frames_;
};

}  // namespace

Result<> DirFd::RemoveTree(std::string_view rel) const {
  Result<internal::Place> place = internal::FindPlace(fd_.get(), rel);
  if (!place) {
    if (place.error().sys_errno() == ENOENT) return Ok();
    return std::move(place.error());
  }
  const char* name = place->name.c_str();
  // Not a directory, or an empty one, takes one system call.
  if (::unlinkat(place->dir, name, 0) == 0 || errno == ENOENT) return Ok();
  if (errno != EISDIR) return ErrnoError(StrCat("remove ", Quote(rel)));
  if (::unlinkat(place->dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return Ok();
  TRY(TreeRemover().Remove(place->dir, place->name), StrCat("remove tree ", Quote(rel)));
  return Ok();
}

}  // namespace berth::os
