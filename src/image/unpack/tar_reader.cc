// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/tar_reader.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/strings.h"

namespace berth::image::unpack {

namespace {

uint64_t Padding(uint64_t size) { return (kBlock - size % kBlock) % kBlock; }

// uid_t and gid_t without -1, which chown(2) takes for "leave it".
Result<uint32_t> Owner(uint64_t id, std::string_view what) {
  if (id >= std::numeric_limits<uint32_t>::max())
    return Error(Code::kInvalidArgument, StrCat("tar: ", what, " ", id, " is out of range"));
  return static_cast<uint32_t>(id);
}

Result<EntryType> TypeOf(char type, const std::string& path) {
  switch (type) {
    case '0':
    case '7':
    case 'S':
      // v7 had no type for directories.
      return path.ends_with('/') ? EntryType::kDirectory : EntryType::kFile;
    case '1':
      return EntryType::kHardLink;
    case '2':
      return EntryType::kSymlink;
    case '3':
      return EntryType::kCharDevice;
    case '4':
      return EntryType::kBlockDevice;
    case '5':
      return EntryType::kDirectory;
    case '6':
      return EntryType::kFifo;
    default:
      return Error(Code::kInvalidArgument,
                   StrCat("tar: ", Quote(path, 64), ": entry of unknown type ",
                          static_cast<int>(static_cast<uint8_t>(type))));
  }
}

}  // namespace

Result<bool> TarReader::ReadBlock() {
  size_t have = 0;
  while (have < kBlock) {
    const std::string_view view = TRY(source_.View());
    if (view.empty()) {
      if (have == 0) return false;
      return TarError("the stream ends inside a header");
    }
    const size_t take = std::min(view.size(), kBlock - have);
    std::copy_n(view.begin(), take, block_.begin() + static_cast<ptrdiff_t>(have));
    source_.Consume(take);
    have += take;
  }
  return true;
}

Result<> TarReader::Skip(uint64_t bytes) {
  while (bytes > 0) {
    const std::string_view view = TRY(source_.View());
    if (view.empty()) return TarError("the stream ends inside an entry");
    const uint64_t take = std::min<uint64_t>(view.size(), bytes);
    source_.Consume(take);
    bytes -= take;
  }
  return Ok();
}

Result<std::string> TarReader::ReadSpecial(uint64_t size) {
  if (size > limits_.special)
    return Error(Code::kResourceExhausted,
                 StrCat("tar: extended header of ", size, " bytes is beyond the limit"));
  std::string bytes;
  while (bytes.size() < size) {
    const std::string_view view = TRY(source_.View());
    if (view.empty()) return TarError("the stream ends inside an extended header");
    const size_t take = std::min<size_t>(view.size(), size - bytes.size());
    bytes += view.substr(0, take);
    source_.Consume(take);
  }
  TRY(Skip(Padding(size)));
  return bytes;
}

Result<> TarReader::ReadGnuSparse(RawHeader& header) {
  while (header.extended) {
    if (!TRY(ReadBlock())) return TarError("the stream ends inside a sparse map");
    header.extended = TRY(ParseSparseBlock(block(), header.regions));
    if (header.regions.size() > limits_.sparse_regions)
      return Error(Code::kResourceExhausted, "tar: sparse map has too many regions");
  }
  return Ok();
}

Result<std::optional<TarEntry>> TarReader::Next() {
  if (viewed_ > 0 || left_ > 0 || padding_ > 0) {
    TRY(Skip(left_ + padding_));
    left_ = padding_ = viewed_ = 0;
  }
  while (!ended_) {
    if (!TRY(ReadBlock())) {
      ended_ = true;
      break;
    }
    if (IsZeroBlock(block())) {
      TRY(ReadTail());
      break;
    }
    RawHeader header = TRY(ParseHeader(block()));
    switch (header.type) {
      case 'x':
        pax_ = TRY(ParsePax(TRY(ReadSpecial(header.size)), limits_));
        continue;
      case 'g':  // git's comment and the like: nothing in it describes files
        TRY(ReadSpecial(header.size));
        continue;
      case 'L':
      case 'K': {
        std::string text = TRY(ReadSpecial(header.size));
        text.resize(std::min(text.size(), text.find('\0')));
        (header.type == 'L' ? long_name_ : long_link_) = std::move(text);
        continue;
      }
      default:
        break;
    }
    TRY(ReadGnuSparse(header));
    TarEntry entry = TRY(MakeEntry(header));
    pax_ = {};
    long_name_.reset();
    long_link_.reset();
    return std::optional<TarEntry>(std::move(entry));
  }
  if (pax_.path || long_name_ || long_link_)
    return TarError("the archive ends after an extended header");
  return std::optional<TarEntry>();
}

Result<> TarReader::ReadTail() {
  ended_ = true;
  if (TRY(ReadBlock()) && !IsZeroBlock(block()))
    return TarError("a zero block in the middle of the archive");
  return Ok();
}

Result<TarEntry> TarReader::MakeEntry(const RawHeader& header) {
  TarEntry e;
  e.path = pax_.path.value_or(header.name);
  e.link = pax_.link.value_or(header.link);
  if (long_name_) e.path = *long_name_;
  if (long_link_) e.link = *long_link_;
  if (pax_.sparse_name) e.path = *pax_.sparse_name;
  if (e.path.empty()) return TarError("entry without a name");
  e.type = TRY(TypeOf(header.type, e.path));
  e.mode = header.mode;
  e.uid = TRY(Owner(pax_.uid.value_or(header.uid), "uid"));
  e.gid = TRY(Owner(pax_.gid.value_or(header.gid), "gid"));
  e.mtime.tv_sec = static_cast<time_t>(header.mtime);
  if (pax_.mtime) e.mtime = *pax_.mtime;
  e.atime = pax_.atime;
  e.major = header.major;
  e.minor = header.minor;
  e.xattrs = std::move(pax_.xattrs);
  regions_.clear();
  region_ = 0;
  region_done_ = 0;
  // Only files have data; what other types say in their size field means something else (as in Go
  // and libarchive).
  if (e.type != EntryType::kFile) return e;
  e.stored = e.size = pax_.size.value_or(header.size);
  if (e.stored > limits_.file_size)
    return Error(Code::kResourceExhausted, StrCat("tar: ", Quote(e.path, 64), ": file too large"));
  left_ = e.stored;
  padding_ = Padding(e.stored);
  TRY(ApplySparse(header, e), Quote(e.path, 64));
  return e;
}

Result<> TarReader::ApplySparse(const RawHeader& header, TarEntry& e) {
  e.sparse = pax_.sparse || header.type == 'S';
  if (!e.sparse) return Ok();
  if (header.type == 'S') {
    e.size = header.real_size;
    e.regions = header.regions;
  } else {
    if (!pax_.sparse_size) return TarError("sparse file without its size");
    e.size = *pax_.sparse_size;
    e.regions = std::move(pax_.regions);
    if (pax_.sparse_map_in_data) TRY(ReadSparseMap(e));
  }
  if (e.size > limits_.file_size)
    return Error(Code::kResourceExhausted, "tar: sparse file too large");
  TRY(CheckRegions(e.regions, e.size, e.stored));
  regions_ = e.regions;
  return Ok();
}

// Format 1.0: the map stands before the data, as decimal lines, filled up to a block.
Result<> TarReader::ReadSparseMap(TarEntry& e) {
  const uint64_t before = left_;
  auto number = [this]() -> Result<uint64_t> {
    const std::string line = TRY(ReadLine(left_));
    Result<int64_t> value = ParseInt(line, 0, std::numeric_limits<int64_t>::max(), "sparse map");
    if (!value) return TarError(value.error().message());
    return static_cast<uint64_t>(*value);
  };
  const uint64_t count = TRY(number());
  if (count > limits_.sparse_regions)
    return Error(Code::kResourceExhausted, "tar: sparse map has too many regions");
  e.regions.clear();
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t offset = TRY(number());
    e.regions.push_back({offset, TRY(number())});
  }
  const uint64_t fill = Padding(before - left_);
  if (fill > left_) return TarError("sparse map is longer than the entry");
  TRY(Skip(fill));
  left_ -= fill;
  e.stored = left_;
  return Ok();
}

Result<std::string> TarReader::ReadLine(uint64_t& left) {
  std::string line;
  while (left > 0 && line.size() < 32) {
    const std::string_view view = TRY(source_.View());
    if (view.empty()) return TarError("the stream ends inside a sparse map");
    const char c = view.front();
    source_.Consume(1);
    --left;
    if (c == '\n') return line;
    line += c;
  }
  return TarError("sparse map without an end");
}

Result<TarReader::Piece> TarReader::Data() {
  source_.Consume(viewed_);
  left_ -= viewed_;
  region_done_ += viewed_;
  if (viewed_ > 0 && !regions_.empty() && region_done_ == regions_[region_].size) {
    ++region_;
    region_done_ = 0;
  }
  viewed_ = 0;
  if (left_ == 0) return Piece{};
  while (!regions_.empty() && regions_[region_].size == 0) ++region_;
  const std::string_view view = TRY(source_.View());
  if (view.empty()) return TarError("the stream ends inside a file");
  Piece piece;
  uint64_t most = left_;
  piece.offset = region_done_;
  if (!regions_.empty()) {
    piece.offset += regions_[region_].offset;
    most = regions_[region_].size - region_done_;
  }
  viewed_ = static_cast<size_t>(std::min<uint64_t>(view.size(), most));
  piece.bytes = view.substr(0, viewed_);
  return piece;
}

Result<> TarReader::Finish() {
  for (;;) {
    const std::string_view view = TRY(source_.View());
    if (view.empty()) return Ok();
    if (!IsZeroBlock(view)) return TarError("data after the end of the archive");
    source_.Consume(view.size());
  }
}

}  // namespace berth::image::unpack
