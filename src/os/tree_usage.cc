// SPDX-License-Identifier: Apache-2.0
#include "os/tree_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "os/dir_internal.h"

namespace berth::os {

namespace {

constexpr size_t kMaxHeld = 1024;

// Depth first. A directory's descriptor lives as long as one of its sub-directories still waits: a chain of
// directories, however deep, holds one.
class TreeMeter {
 public:
  explicit TreeMeter(uint64_t max_inodes) : max_inodes_(max_inodes) {}

  Result<TreeUsage> Measure(const DirFd& top) {
    struct stat st{};
    if (::fstat(top.get(), &st) < 0) return ErrnoError("measure directory");
    device_ = st.st_dev;
    TRY(Count(st));
    // Not a duplicate, which would share its offset with other readers of the directory.
    TRY(Visit(TRY(internal::OpenAt2(top.get(), ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH))));
    while (!waiting_.empty()) {
      Waiting next = std::move(waiting_.back());
      waiting_.pop_back();
      auto opened =
          internal::OpenAt2(next.parent->get(), next.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                            RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
      // Gone, or something else by now.
      if (!opened && IsChange(opened.error())) continue;
      if (!opened) return std::move(opened.error());
      TRY(Visit(std::move(*opened)));
    }
    return usage_;
  }

 private:
  struct Waiting {
    std::shared_ptr<Fd> parent;
    std::string name;
  };

  static bool IsChange(const Error& error) {
    const int err = error.sys_errno();
    return err == ENOENT || err == ENOTDIR || err == ELOOP || err == EXDEV;
  }

  Result<> Count(const struct stat& st) {
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && !linked_.insert(st.st_ino).second) return Ok();
    if (++usage_.inodes > max_inodes_)
      return Error(Code::kResourceExhausted, StrCat("more than ", max_inodes_, " files"));
    usage_.bytes += static_cast<uint64_t>(st.st_blocks) * 512;
    return Ok();
  }

  Result<> Visit(Fd opened) {
    auto dir = std::make_shared<Fd>(std::move(opened));
    std::optional<Error> failed;
    const size_t before = waiting_.size();
    // A directory that has nothing waiting any more is held no longer.
    while (!starts_.empty() && starts_.back() >= before) starts_.pop_back();
    TRY(internal::ForEachEntry(dir->get(), [&](std::string_view entry, unsigned char) {
      std::string name(entry);
      struct stat st{};
      if (::fstatat(dir->get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
        if (errno == ENOENT) return true;
        failed.emplace(ErrnoError(Quote(name)));
        return false;
      }
      if (st.st_dev != device_) return true;
      if (Result<> counted = Count(st); !counted) {
        failed.emplace(std::move(counted.error()));
        return false;
      }
      if (S_ISDIR(st.st_mode)) waiting_.push_back({dir, std::move(name)});
      return true;
    }));
    if (failed) return std::move(*failed);
    if (waiting_.size() > before) starts_.push_back(before);
    if (starts_.size() > kMaxHeld)
      return Error(Code::kResourceExhausted,
                   StrCat("more than ", kMaxHeld, " levels of directories"));
    return Ok();
  }

  const uint64_t max_inodes_;
  dev_t device_ = 0;
  TreeUsage usage_;
  std::vector<Waiting> waiting_;
  std::vector<size_t> starts_;  // where in waiting_ those of each held directory begin
  std::set<ino_t> linked_;
};

}  // namespace

Result<TreeUsage> MeasureTree(const DirFd& dir, uint64_t max_inodes) {
  return TreeMeter(max_inodes).Measure(dir);
}

}  // namespace berth::os
