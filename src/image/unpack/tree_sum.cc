// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/tree_sum.h"

#include <dirent.h>
#include <fcntl.h>
#include <isa-l/crc64.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "base/strings.h"
#include "base/wire.h"
#include "os/fd.h"

namespace berth::image::unpack {

namespace {

constexpr int kMaxDepth =
    1100;  // twice what CleanPath lets anything be made, for symlinks on the way

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

uint64_t Crc(const void* bytes, size_t size) {
  return ::crc64_ecma_refl(0, static_cast<const unsigned char*>(bytes), size);
}

// splitmix64's last step: sums of what comes out do not cancel as sums of CRCs would.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

bool IsZero(const char* bytes, size_t size) {
  return bytes[0] == 0 && std::memcmp(bytes, bytes + 1, size - 1) == 0;
}

Result<std::string> LinkTarget(int parent, const char* name) {
  std::string target(4096, '\0');
  const ssize_t n = ::readlinkat(parent, name, target.data(), target.size());
  if (n < 0) return ErrnoError(Quote(name, 128));
  target.resize(static_cast<size_t>(n));
  return target;
}

class Walk {
 public:
  explicit Walk(const ContentOf& content) : content_(content) {}

  Result<> Directory(int dir, const std::string& path, int depth) {
    if (depth > kMaxDepth) return Error(Code::kResourceExhausted, "directories too deep");
    // One open directory for each level, not two.
    for (const std::string& name : TRY(Entries(dir, path))) {
      const os::Fd child(
          ::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!child) return ErrnoError(Quote(name, 128));
      TRY(Directory(child.get(), StrCat(path, "/", name), depth + 1));
    }
    return Ok();
  }

  Result<> Add(int parent, const char* name, const std::string& path, const struct stat& st) {
    wire::Writer facts;
    facts.Text(path);
    facts.U32(st.st_mode);
    facts.U32(st.st_uid);
    facts.U32(st.st_gid);
    facts.I64(st.st_mtim.tv_sec);
    facts.I64(st.st_mtim.tv_nsec);
    if (S_ISREG(st.st_mode)) {
      facts.I64(st.st_size);
      facts.U64(st.st_nlink);
      facts.U64(st.st_size > 0 ? TRY(content_(parent, name, st.st_ino)) : 0);
    } else if (S_ISLNK(st.st_mode)) {
      facts.Text(TRY(LinkTarget(parent, name)));
    } else if (!S_ISDIR(st.st_mode)) {
      facts.U64(st.st_rdev);
    }
    sum_ += Mix(Crc(facts.bytes().data(), facts.bytes().size()));
    return Ok();
  }

  uint64_t sum() const { return sum_; }

 private:
  // Adds all entries; returns the directories among them.
  Result<std::vector<std::string>> Entries(int dir, const std::string& path) {
    const int copy = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, CloseDir> stream(copy >= 0 ? ::fdopendir(copy) : nullptr);
    if (!stream) return ErrnoError(Quote(path, 128));
    std::vector<std::string> directories;
    errno = 0;
    while (const struct dirent* entry = ::readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") {
        struct stat st{};
        if (::fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
          return ErrnoError(Quote(name, 128));
        TRY(Add(dir, entry->d_name, StrCat(path, "/", name), st));
        if (S_ISDIR(st.st_mode)) directories.emplace_back(name);
      }
      errno = 0;
    }
    if (errno != 0) return ErrnoError(Quote(path, 128));
    return directories;
  }

  const ContentOf& content_;
  uint64_t sum_ = 0;
};

// Only the parts that are not holes.
Result<uint64_t> ReadContent(int parent, const char* name) {
  const os::Fd fd(::openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return ErrnoError(Quote(name, 128));
  ContentSum sum;
  std::vector<char> buffer(256U << 10);
  off_t at = ::lseek(fd.get(), 0, SEEK_DATA);
  while (at >= 0) {
    const off_t end = ::lseek(fd.get(), at, SEEK_HOLE);
    if (end < 0) return ErrnoError(Quote(name, 128));
    while (at < end) {
      const size_t want = std::min<size_t>(buffer.size(), static_cast<size_t>(end - at));
      const ssize_t n = ::pread(fd.get(), buffer.data(), want, at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(Quote(name, 128));
      if (n == 0) return sum.Finish();  // shorter than a moment ago: the sum will tell
      sum.Add(static_cast<uint64_t>(at), std::string_view(buffer.data(), static_cast<size_t>(n)));
      at += n;
    }
    at = ::lseek(fd.get(), end, SEEK_DATA);
  }
  if (errno != ENXIO) return ErrnoError(Quote(name, 128));  // ENXIO: no more data
  return sum.Finish();
}

}  // namespace

void ContentSum::AddBlock(uint64_t number, const char* bytes) {
  if (IsZero(bytes, kBlock)) return;
  sum_ += Mix(Crc(bytes, kBlock) + Mix(number + 1));
}

void ContentSum::Flush() {
  if (!partial_) return;
  AddBlock(number_, buffer_.data());
  buffer_.fill('\0');
  partial_ = false;
}

void ContentSum::Add(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const uint64_t number = offset / kBlock;
    const size_t inside = offset % kBlock;
    if (partial_ && number != number_) Flush();
    const size_t take = std::min(kBlock - inside, bytes.size());
    if (take == kBlock) {
      AddBlock(number, bytes.data());
    } else {
      std::copy_n(bytes.begin(), take, buffer_.begin() + static_cast<ptrdiff_t>(inside));
      number_ = number;
      partial_ = true;
    }
    offset += take;
    bytes.remove_prefix(take);
  }
}

uint64_t ContentSum::Finish() {
  Flush();
  return sum_;
}

void WrittenSums::Sort() {
  std::stable_sort(sums_.begin(), sums_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
}

uint64_t WrittenSums::Find(ino_t inode) const {
  const auto after =
      std::upper_bound(sums_.begin(), sums_.end(), inode,
                       [](ino_t wanted, const auto& entry) { return wanted < entry.first; });
  if (after == sums_.begin() || std::prev(after)->first != inode) return 0;
  return std::prev(after)->second;
}

Result<TreeSum> SumTree(int root, const ContentOf& content) {
  Walk walk(content);
  TRY(walk.Directory(root, "", 0));
  TreeSum sum{.entries = walk.sum(), .root = 0};
  struct stat st{};
  if (::fstat(root, &st) != 0) return ErrnoError("root directory");
  TRY(walk.Add(root, ".", "", st));
  sum.root = walk.sum() - sum.entries;
  return sum;
}

Result<TreeSum> SumTreeFromDisk(int root) {
  return SumTree(root,
                 [](int parent, const char* name, ino_t) { return ReadContent(parent, name); });
}

}  // namespace berth::image::unpack
