// SPDX-License-Identifier: Apache-2.0
// The headers of a tar archive, 512 bytes each (POSIX pax, "ustar Interchange Format"; GNU tar manual,
// "Basic Tar"). Offset, field, bytes:
//     0 name     100 | 100 mode..   24 | 124 size  12 | 136 mtime  12 | 148 checksum 8 | 156 type 1
//   157 linkname 100 | 257 magic     6 | 345 prefix 155
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "base/strings.h"
#include "image/fetch/files.h"

namespace berth::image::fetch {

namespace {

constexpr size_t kBlock = 512;
using Block = std::array<char, kBlock>;

std::string_view Field(const Block& block, size_t at, size_t size) {
  const std::string_view field(block.data() + at, size);
  return field.substr(0, field.find('\0'));
}

Error NotTar(std::string_view why) {
  return Error(Code::kInvalidArgument, StrCat("archive: not a tar: ", why));
}

Result<uint64_t> Octal(std::string_view text) {
  const std::string_view digits = TrimSpace(text);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 8);
  if (digits.empty()) return uint64_t{0};
  if (error != std::errc() || end != digits.data() + digits.size()) return NotTar("bad number");
  return value;
}

// Octal text, or with the top bit set a big-endian number.
Result<uint64_t> SizeOf(const Block& block) {
  const auto first = static_cast<unsigned char>(block[124]);
  if ((first & 0x80) == 0) return Octal(Field(block, 124, 12));
  uint64_t value = first & 0x7f;
  for (size_t i = 125; i < 136; ++i) {
    if (value >> 56 != 0) return NotTar("bad size");
    value = value << 8 | static_cast<unsigned char>(block[i]);
  }
  return value;
}

Result<> CheckSum(const Block& block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
  }
  if (TRY(Octal(Field(block, 148, 8))) != sum) return NotTar("bad checksum");
  return Ok();
}

std::string NameOf(const Block& block) {
  std::string name(Field(block, 0, 100));
  // Only POSIX has a prefix there; GNU ("ustar  ") keeps times.
  if (Field(block, 257, 6) != "ustar") return name;
  const std::string_view prefix = Field(block, 345, 155);
  return prefix.empty() ? name : StrCat(prefix, "/", name);
}

Result<> RefuseCompressed(const Block& block) {
  const std::string_view head(block.data(), 6);
  if (head.starts_with("\x1f\x8b") || head.starts_with("\x28\xb5\x2f\xfd") ||
      head.starts_with("BZh") ||
      head.starts_with("\xfd"
                       "7zXZ")) {
    return Error(Code::kFailedPrecondition, "archive: compressed; decompress it first");
  }
  return Ok();
}

}  // namespace

class TarIndexer {
 public:
  TarIndexer(TarFiles& out, uint64_t file_size) : out_(out), file_size_(file_size) {}

  Result<> Run() {
    for (size_t entries = 0;; ++entries) {
      if (entries > TarFiles::kMaxEntries) {
        return Error(Code::kResourceExhausted, "archive: more than 65536 entries");
      }
      if (at_ == file_size_ && entries > 0) return Ok();
      Block block{};
      TRY(ReadAt(at_, block.data(), kBlock));
      if (entries == 0) TRY(RefuseCompressed(block));
      if (block == Block{}) return Ok();
      TRY(CheckSum(block));
      TRY(TakeEntry(block));
    }
  }

 private:
  Result<> ReadAt(uint64_t offset, char* to, size_t size) {
    while (size > 0) {
      const ssize_t n = ::pread(out_.file_.get(), to, size, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError("read archive");
      if (n == 0) return NotTar("cut short");
      to += n;
      size -= static_cast<size_t>(n);
      offset += static_cast<uint64_t>(n);
    }
    return Ok();
  }

  Result<std::string> ReadExtension(uint64_t size) {
    if (size > TarFiles::kMaxExtension) {
      return Error(Code::kResourceExhausted, "archive: extended header larger than 64 KiB");
    }
    std::string bytes(size, '\0');
    TRY(ReadAt(at_ + kBlock, bytes.data(), size));
    return bytes;
  }

  // "30 path=...\n" records.
  Result<> TakePax(std::string_view records) {
    while (!records.empty()) {
      const size_t space = records.find(' ');
      if (space == std::string_view::npos) return NotTar("bad pax record");
      const auto size = static_cast<size_t>(
          TRY(ParseInt(records.substr(0, space), 5, TarFiles::kMaxExtension, "pax record")));
      if (size > records.size() || size <= space + 1 || records[size - 1] != '\n') {
        return NotTar("bad pax record");
      }
      const std::string_view record = records.substr(space + 1, size - space - 2);
      const size_t equal = record.find('=');
      if (equal == std::string_view::npos) return NotTar("bad pax record");
      const std::string_view key = record.substr(0, equal);
      const std::string_view value = record.substr(equal + 1);
      if (key == "path") name_ = value;
      if (key == "linkpath") link_ = value;
      if (key == "size") size_ = TRY(ParseInt(value, 0, INT64_MAX, "pax size"));
      if (key.starts_with("GNU.sparse")) {
        return Error(Code::kFailedPrecondition, "archive: sparse files are not supported");
      }
      records.remove_prefix(size);
    }
    return Ok();
  }

  Result<> TakeEntry(const Block& block) {
    const char type = block[156];
    uint64_t size = TRY(SizeOf(block));
    const bool extension = type == 'x' || type == 'g' || type == 'L' || type == 'K';
    if (!extension && size_ >= 0) size = static_cast<uint64_t>(size_);
    if (type == '1' || type == '2' || type == '5') size = 0;
    const uint64_t room = file_size_ - at_ - kBlock;
    if (size > room) return NotTar("an entry goes beyond the end");
    if (extension) {
      std::string bytes = TRY(ReadExtension(size));
      if (type == 'x') TRY(TakePax(bytes));
      if (type == 'L') name_ = bytes.substr(0, bytes.find('\0'));
      if (type == 'K') link_ = bytes.substr(0, bytes.find('\0'));
    } else {
      TRY(Store(block, type, size));
      name_.clear();
      link_.clear();
      size_ = -1;
    }
    const uint64_t padded = (size + kBlock - 1) / kBlock * kBlock;
    at_ = padded > room ? file_size_ : at_ + kBlock + padded;
    return Ok();
  }

  Result<> Store(const Block& block, char type, uint64_t size) {
    const std::string raw = name_.empty() ? NameOf(block) : name_;
    if (type == 'S') {
      return Error(Code::kFailedPrecondition, "archive: sparse files are not supported");
    }
    if (raw.size() > TarFiles::kMaxName) return NotTar("a name is too long");
    const std::string name = TRY(TarFiles::Normalize(raw));
    TarFiles::Entry entry{at_ + kBlock, size, ""};
    if (type == '1' || type == '2') {
      std::string target = link_.empty() ? std::string(Field(block, 157, 100)) : link_;
      // A hard link is named from the archive's top, a symbolic one from where it is.
      const size_t slash = name.rfind('/');
      if (type == '2' && slash != std::string::npos) {
        target = StrCat(name.substr(0, slash), "/", target);
      }
      entry.link = TRY(TarFiles::Normalize(target));
      if (entry.link.empty()) return Ok();
    } else if (type != '0' && type != '\0' && type != '7') {
      return Ok();
    }
    out_.entries_.insert_or_assign(name, std::move(entry));
    return Ok();
  }

  TarFiles& out_;
  const uint64_t file_size_;
  uint64_t at_ = 0;
  std::string name_, link_;  // from the extended header before an entry
  int64_t size_ = -1;
};

Result<std::unique_ptr<TarFiles>> TarFiles::Open(os::Fd file) {
  struct stat st{};
  if (::fstat(file.get(), &st) < 0) return ErrnoError("archive");
  if (!S_ISREG(st.st_mode)) {
    return Error(Code::kFailedPrecondition, "archive: not a regular file");
  }
  std::unique_ptr<TarFiles> files(new TarFiles());
  files->file_ = std::move(file);
  TarIndexer indexer(*files, static_cast<uint64_t>(st.st_size));
  TRY(indexer.Run());
  return files;
}

}  // namespace berth::image::fetch
