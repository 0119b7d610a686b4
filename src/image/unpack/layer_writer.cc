// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/layer_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/strings.h"
#include "image/unpack/metadata.h"

namespace berth::image::unpack {

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr uint64_t kDiskBlock = 4096;
// Linux packs device numbers into 12 and 20 bits.
constexpr uint64_t kMaxMajor = (1U << 12) - 1;
constexpr uint64_t kMaxMinor = (1U << 20) - 1;

// A whiteout name can only be the last element: below one there is nothing to unpack.
Result<> CheckNoWhiteoutParent(const std::string& path) {
  const std::vector<std::string_view> parts = Split(path, '/');
  for (size_t i = 0; i + 1 < parts.size(); ++i)
    if (parts[i].starts_with(kWhiteout))
      return Error(Code::kInvalidArgument, "entry below a whiteout");
  return Ok();
}

}  // namespace

LayerWriter::LayerWriter(os::Fd root, OpaqueMarker& marker, const Limits& limits)
    : limits_(limits), tree_(std::move(root), [this] { return ChargeInode(); }), marker_(marker) {}

Result<> LayerWriter::ChargeInode() {
  ++inodes_;
  return ChargeBytes(kDiskBlock);
}

Result<> LayerWriter::ChargeBytes(uint64_t bytes) {
  bytes_ += bytes;
  if (bytes_ > limits_.bytes)
    return Error(Code::kResourceExhausted,
                 StrCat("layer is larger than ", limits_.bytes, " bytes"));
  return Ok();
}

Result<> LayerWriter::Apply(const TarEntry& entry, TarReader& data) {
  if (++entries_ > limits_.entries)
    return Error(Code::kResourceExhausted,
                 StrCat("layer has more than ", limits_.entries, " entries"));
  const std::string path = TRY(CleanPath(entry.path, limits_));
  TRY(ApplyAt(path, entry, data), StrCat("layer entry ", Quote(path, 128)));
  if (tree_.implied().size() > limits_.implied_dirs)
    return Error(Code::kResourceExhausted, "layer has too many directories that it does not list");
  return Ok();
}

Result<> LayerWriter::ApplyAt(const std::string& path, const TarEntry& entry, TarReader& data) {
  TRY(CheckNoWhiteoutParent(path));
  const std::string name = path.substr(path.rfind('/') + 1);
  if (name.starts_with(kWhiteout)) return Whiteout(path, name);
  if (path.empty() && entry.type != EntryType::kDirectory)
    return Error(Code::kInvalidArgument, "the root is no directory");
  switch (entry.type) {
    case EntryType::kFile:
      return File(path, entry, data);
    case EntryType::kHardLink:
      return HardLink(path, entry);
    case EntryType::kSymlink:
      return Symlink(path, entry);
    case EntryType::kDirectory:
      return Directory(path, entry);
    case EntryType::kCharDevice:
    case EntryType::kBlockDevice:
    case EntryType::kFifo:
      return Node(path, entry);
  }
  return Error(Code::kInternal, "entry type");
}

Result<> LayerWriter::Whiteout(const std::string& path, std::string_view name) {
  if (name == kOpaque) {
    const Place place = TRY(tree_.PlaceFor(path));
    struct stat dir{}, root{};
    if (::fstat(place.parent, &dir) != 0 || ::fstat(tree_.root(), &root) != 0)
      return ErrnoError("stat");
    // overlayfs merges the roots of all layers whatever they say: the store leaves the lower ones
    // out.
    if (dir.st_ino == root.st_ino && dir.st_dev == root.st_dev) {
      opaque_root_ = true;
      return Ok();
    }
    return marker_.Mark(place.parent);
  }
  if (name.starts_with(kWhiteoutMeta))
    return Error(Code::kInvalidArgument, "unknown kind of whiteout");
  const std::string hidden(name.substr(kWhiteout.size()));
  if (hidden.empty() || hidden == "." || hidden == "..")
    return Error(Code::kInvalidArgument, "whiteout of no name");
  Place place = TRY(tree_.PlaceFor(path));
  place.name = hidden;
  Result<struct stat> st = Tree::Stat(place.parent, hidden);
  if (st) {
    // A whiteout hides what is below, never what its own layer has, in whatever order they come.
    if (!S_ISDIR(st->st_mode)) return Ok();
    const os::Fd dir(
        ::openat(place.parent, hidden.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!dir) return ErrnoError("open directory");
    return marker_.Mark(dir.get());
  }
  if (st.error().code() != Code::kNotFound) return std::move(st.error());
  TRY(ChargeInode());
  if (::mknodat(place.parent, hidden.c_str(), S_IFCHR, makedev(0, 0)) != 0)
    return ErrnoError("make whiteout");
  return Ok();
}

template <class Make>
Result<> LayerWriter::MakeNew(const Place& place, Make make) {
  TRY(ChargeInode());
  if (make() >= 0) return Ok();
  if (errno != EEXIST) return ErrnoError("make");
  TRY(tree_.Remove(place));
  if (make() < 0) return ErrnoError("make");
  return Ok();
}

Result<> LayerWriter::File(const std::string& path, const TarEntry& entry, TarReader& data) {
  const Place place = TRY(tree_.PlaceFor(path));
  os::Fd fd;
  TRY(MakeNew(place, [&] {
    fd.Reset(::openat(place.parent, place.name.c_str(),
                      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, entry.mode & 0777));
    return fd.get();
  }));
  TRY(WriteData(fd.get(), entry, data));
  TRY(SetOwnerAndMode(fd.get(), entry));
  TRY(SetXattrs(fd.get(), entry));
  struct timespec times[2];
  TimesOf(entry, times);
  if (::futimens(fd.get(), times) != 0) return ErrnoError("set times");
  return Ok();
}

Result<> LayerWriter::WriteData(int fd, const TarEntry& entry, TarReader& data) {
  uint64_t written = 0;
  ContentSum sum;
  for (;;) {
    TarReader::Piece piece = TRY(data.Data());
    if (piece.bytes.empty()) break;
    TRY(ChargeBytes(piece.bytes.size()));
    written += piece.bytes.size();
    sum.Add(piece.offset, piece.bytes);
    while (!piece.bytes.empty()) {
      const ssize_t n =
          ::pwrite(fd, piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(piece.offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError("write");
      piece.bytes.remove_prefix(static_cast<size_t>(n));
      piece.offset += static_cast<uint64_t>(n);
    }
  }
  // The inode's own block was charged already: small files cost one block.
  if (written > 0) {
    const uint64_t rest = written % kDiskBlock;
    TRY(ChargeBytes(rest != 0 ? kDiskBlock - rest : 0));
    bytes_ -= kDiskBlock;
    struct stat st{};
    if (::fstat(fd, &st) != 0) return ErrnoError("stat");
    sums_.Set(st.st_ino, sum.Finish());
  }
  if (entry.sparse && ::ftruncate(fd, static_cast<off_t>(entry.size)) != 0)
    return ErrnoError("set size");
  return Ok();
}

Result<> LayerWriter::Directory(const std::string& path, const TarEntry& entry) {
  if (path.empty()) {
    described_root_ = true;
    return FinishDirectory(tree_.root(), path, entry);
  }
  const Place place = TRY(tree_.PlaceFor(path));
  bool opaque = false;
  Result<struct stat> st = Tree::Stat(place.parent, place.name);
  if (!st && st.error().code() != Code::kNotFound) return std::move(st.error());
  const bool there = st && S_ISDIR(st->st_mode);
  if (!there) {
    opaque = st && Tree::IsWhiteout(*st);
    TRY(MakeNew(place,
                [&] { return ::mkdirat(place.parent, place.name.c_str(), entry.mode & 0777); }));
  }
  const os::Fd fd(
      ::openat(place.parent, place.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return ErrnoError("open directory");
  if (opaque) TRY(marker_.Mark(fd.get()));
  tree_.Described(path);
  return FinishDirectory(fd.get(), path, entry);
}

Result<> LayerWriter::FinishDirectory(int fd, const std::string& path, const TarEntry& entry) {
  TRY(SetOwnerAndMode(fd, entry));
  TRY(SetXattrs(fd, entry));
  struct stat st{};
  if (::fstat(fd, &st) != 0) return ErrnoError("stat");
  DirTimes times{.path = path, .inode = st.st_ino, .times = {}};
  TimesOf(entry, times.times);
  dirs_.push_back(std::move(times));
  return Ok();
}

Result<> LayerWriter::HardLink(const std::string& path, const TarEntry& entry) {
  const std::string target = TRY(CleanPath(entry.link, limits_), "hard link");
  const auto missing = [&] {
    return Error(Code::kFailedPrecondition,
                 StrCat("hard link to ", Quote(target, 128), ", which this layer does not have"));
  };
  if (target.empty()) return missing();
  std::string name;
  Result<os::Fd> parent = tree_.ParentOf(target, name);
  if (!parent) return missing();
  Result<struct stat> st = Tree::Stat(parent->get(), name);
  if (!st || Tree::IsWhiteout(*st)) return missing();
  if (S_ISDIR(st->st_mode)) return Error(Code::kInvalidArgument, "hard link to a directory");
  const Place place = TRY(tree_.PlaceFor(path));
  Result<struct stat> old = Tree::Stat(place.parent, place.name);
  // A link to itself: removing the old name first would lose the file.
  if (old && old->st_ino == st->st_ino && old->st_dev == st->st_dev) return Ok();
  if (old) TRY(tree_.Remove(place));
  // No metadata: it is the target's, and the header's may differ (CVE-2021-32760).
  if (::linkat(parent->get(), name.c_str(), place.parent, place.name.c_str(), 0) != 0) {
    if (errno == ENOENT) return missing();
    return ErrnoError("hard link");
  }
  return Ok();
}

Result<> LayerWriter::Symlink(const std::string& path, const TarEntry& entry) {
  if (entry.link.empty() || entry.link.find('\0') != std::string::npos)
    return Error(Code::kInvalidArgument, "symbolic link without a target");
  if (entry.link.size() > limits_.path)
    return Error(Code::kResourceExhausted, "symbolic link: target too long");
  const Place place = TRY(tree_.PlaceFor(path));
  TRY(MakeNew(place,
              [&] { return ::symlinkat(entry.link.c_str(), place.parent, place.name.c_str()); }));
  return FinishNode(place, entry);
}

Result<> LayerWriter::Node(const std::string& path, const TarEntry& entry) {
  mode_t kind = S_IFIFO;
  dev_t device = 0;
  if (entry.type != EntryType::kFifo) {
    if (entry.major > kMaxMajor || entry.minor > kMaxMinor)
      return Error(Code::kInvalidArgument,
                   StrCat("device number ", entry.major, ":", entry.minor, " is out of range"));
    // In a layer's directory this would be a whiteout.
    if (entry.type == EntryType::kCharDevice && entry.major == 0 && entry.minor == 0)
      return Error(Code::kInvalidArgument, "device number 0:0");
    kind = entry.type == EntryType::kCharDevice ? S_IFCHR : S_IFBLK;
    device = makedev(static_cast<unsigned>(entry.major), static_cast<unsigned>(entry.minor));
  }
  const Place place = TRY(tree_.PlaceFor(path));
  const mode_t mode = kind | (entry.mode & 01777);
  TRY(MakeNew(place, [&] { return ::mknodat(place.parent, place.name.c_str(), mode, device); }));
  return FinishNode(place, entry);
}

// For what cannot be opened without effects. Nobody but us writes here, so the name still is what
// was just made; neither call follows it.
Result<> LayerWriter::FinishNode(const Place& place, const TarEntry& entry) {
  if (::fchownat(place.parent, place.name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return ErrnoError("set owner");
  struct timespec times[2];
  TimesOf(entry, times);
  if (::utimensat(place.parent, place.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return ErrnoError("set times");
  return Ok();
}

Result<> LayerWriter::Finish() {
  for (const DirTimes& dir : dirs_) {
    Result<os::Fd> fd = tree_.OpenDir(dir.path);
    // Replaced by a later entry.
    if (!fd) continue;
    struct stat st{};
    if (::fstat(fd->get(), &st) != 0) return ErrnoError("stat");
    if (st.st_ino != dir.inode) continue;
    if (::futimens(fd->get(), dir.times) != 0)
      return ErrnoError(StrCat("layer entry ", Quote(dir.path, 128), ": set times"));
  }
  sums_.Sort();
  // A tree that cannot be walked (too deep for the open files allowed) is good all the same: it only
  // cannot be verified later.
  tree_sum_ = SumTree(tree_.root(), [this](int, const char*, ino_t inode) -> Result<uint64_t> {
                return sums_.Find(inode);
              }).value_or(TreeSum());
  return Ok();
}

LayerResult LayerWriter::result() const {
  LayerResult result;
  result.bytes = bytes_;
  result.inodes = inodes_;
  result.tree_sum = tree_sum_;
  result.opaque_root = opaque_root_;
  result.described_root = described_root_;
  result.implied_dirs.assign(tree_.implied().begin(), tree_.implied().end());
  return result;
}

}  // namespace berth::image::unpack
