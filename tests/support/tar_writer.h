// SPDX-License-Identifier: Apache-2.0
// Makes tar archives for tests, honest and hostile ones: every field can be set to anything. A
// value; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace berth::testing {

struct TarMember {
  std::string name;
  char type = '0';
  std::string data;
  std::string link;
  unsigned mode = 0644;
  uint64_t uid = 0;
  uint64_t gid = 0;
  int64_t mtime = 1'600'000'000;
  unsigned long major = 0;
  unsigned long minor = 0;
  // Written as an 'x' header before the entry, in this order.
  std::vector<std::pair<std::string, std::string>> pax;
  int64_t size = -1;  // what the header claims; -1: the data's own
};

class TarWriter {
 public:
  TarWriter& Add(const TarMember& member);
  TarWriter& Dir(std::string_view name, unsigned mode = 0755);
  TarWriter& File(std::string_view name, std::string_view data, unsigned mode = 0644);
  TarWriter& Symlink(std::string_view name, std::string_view target);
  TarWriter& HardLink(std::string_view name, std::string_view target);
  TarWriter& Raw(std::string_view bytes);
  // With the two zero blocks.
  std::string Finish() const;
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// One header block with a right checksum.
std::string TarHeader(const TarMember& member);
std::string PaxData(const std::vector<std::pair<std::string, std::string>>& records);
// The gzip form with stored (not compressed) blocks; `members` gzip members in a row.
std::string GzipStored(std::string_view bytes, size_t members = 1);

}  // namespace berth::testing
