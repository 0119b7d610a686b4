// SPDX-License-Identifier: Apache-2.0
// A streaming tar reader: entries one after the other, their data in place in the source's buffers.
// Reads v7, ustar, GNU and PAX. Owned by one unpacking; one thread. Memory is bounded by Limits,
// whatever the input.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "image/unpack/limits.h"
#include "image/unpack/tar_entry.h"
#include "image/unpack/tar_header.h"

namespace berth::image::unpack {

// The uncompressed stream, in pieces.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // What is there and not consumed; waits for at least one byte. Empty: the end. Valid until
  // Consume.
  virtual Result<std::string_view> View() = 0;
  // At most what View returned.
  virtual void Consume(size_t bytes) = 0;
};

class TarReader {
 public:
  TarReader(ByteSource& source, const Limits& limits) : source_(source), limits_(limits) {}

  // The next entry; what was not read of the one before is skipped. No value: the end of the
  // archive (two zero blocks, or the end of the stream at a header's place). DataLoss,
  // ResourceExhausted. A type that nobody unpacks is InvalidArgument.
  Result<std::optional<TarEntry>> Next();

  struct Piece {
    uint64_t offset = 0;  // where in the file
    std::string_view bytes;
  };
  // The next data of the entry that Next returned, valid until the next call; empty at the end.
  Result<Piece> Data();
  // After the end: reads on to the end of the stream. DataLoss unless all of it is zeros.
  Result<> Finish();

 private:
  // False: the stream ended before the first byte.
  Result<bool> ReadBlock();
  std::string_view block() const { return {block_.data(), block_.size()}; }
  Result<std::string> ReadSpecial(uint64_t size);
  Result<> Skip(uint64_t bytes);
  Result<> ReadGnuSparse(RawHeader& header);
  Result<> ReadSparseMap(TarEntry& entry);
  Result<std::string> ReadLine(uint64_t& left);
  Result<TarEntry> MakeEntry(const RawHeader& header);
  Result<> ApplySparse(const RawHeader& header, TarEntry& entry);
  Result<> ReadTail();

  ByteSource& source_;
  const Limits limits_;
  std::array<char, kBlock> block_{};
  // Headers that belong to the next entry.
  PaxRecords pax_;
  std::optional<std::string> long_name_;
  std::optional<std::string> long_link_;
  // The current entry's data.
  std::vector<SparseRegion> regions_;
  size_t region_ = 0;
  uint64_t region_done_ = 0;
  uint64_t left_ = 0;     // stored bytes not consumed
  uint64_t padding_ = 0;  // after them
  size_t viewed_ = 0;     // bytes handed out by Data, to be consumed at the next call
  bool ended_ = false;
};

}  // namespace berth::image::unpack
