// SPDX-License-Identifier: Apache-2.0
#include "tests/support/canary.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/strings.h"

namespace berth::testing {

namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

std::string Content(int parent, const char* name, const struct stat& st) {
  std::string text(4096, '\0');
  ssize_t n = 0;
  if (S_ISLNK(st.st_mode)) {
    n = ::readlinkat(parent, name, text.data(), text.size());
  } else if (S_ISREG(st.st_mode)) {
    const os::Fd fd(::openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC));
    n = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
  }
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

std::string Facts(const struct stat& st, const std::string& content) {
  return StrCat("mode ", st.st_mode, " inode ", st.st_ino, " links ", st.st_nlink, " owner ",
                st.st_uid, ":", st.st_gid, " device ", st.st_rdev, " size ", st.st_size, " mtime ",
                st.st_mtim.tv_sec, ".", st.st_mtim.tv_nsec, " ctime ", st.st_ctim.tv_sec, ".",
                st.st_ctim.tv_nsec, " holds ", Quote(content));
}

void Describe(int dir, const std::string& path, std::map<std::string, std::string>& out) {
  const int copy = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseDir> stream(copy >= 0 ? ::fdopendir(copy) : nullptr);
  while (const struct dirent* entry = stream ? ::readdir(stream.get()) : nullptr) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string full = path.empty() ? name : StrCat(path, "/", name);
    struct stat st{};
    if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    out[full] = Facts(st, Content(dir, name.c_str(), st));
    if (!S_ISDIR(st.st_mode)) continue;
    const os::Fd child(
        ::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (child) Describe(child.get(), full, out);
  }
}

}  // namespace

std::map<std::string, std::string> DescribeTree(const os::DirFd& dir) {
  std::map<std::string, std::string> out;
  struct stat st{};
  if (::fstat(dir.get(), &st) == 0) out[""] = Facts(st, "");
  Describe(dir.get(), "", out);
  return out;
}

Result<Canary> Canary::Plant(const os::DirFd& where) {
  Canary canary;
  canary.dir_ = TRY(where.MakeDir("canary", 0755));
  const os::DirFd& dir = canary.dir_;
  TRY(dir.WriteFile("file", "alive", 0640));
  TRY(dir.WriteFile("setuid", "alive", 04755));
  const os::DirFd inner = TRY(dir.MakeDir("dir", 0755));
  TRY(inner.WriteFile("inside", "alive", 0644));
  if (::symlinkat("file", dir.get(), "link") != 0 || ::mkfifoat(dir.get(), "fifo", 0600) != 0)
    return ErrnoError("canary");
  canary.before_ = DescribeTree(dir);
  return canary;
}

std::string Canary::Changes() const {
  const std::map<std::string, std::string> now = DescribeTree(dir_);
  std::string changes;
  for (const auto& [path, facts] : before_) {
    const auto at = now.find(path);
    if (at == now.end())
      changes += StrCat(path, " is gone\n");
    else if (at->second != facts)
      changes += StrCat(path, " was ", facts, ", is ", at->second, "\n");
  }
  for (const auto& [path, facts] : now)
    if (!before_.contains(path)) changes += StrCat(path, " is new: ", facts, "\n");
  return changes;
}

}  // namespace berth::testing
