// SPDX-License-Identifier: Apache-2.0
// Two numbers for a whole layer, its root directory and all below it, as it lies on disk, so that a change behind Berth's back is found later:
// names, types, modes, owners, sizes, times, links and content; not extended attributes. It finds
// accidents, not attackers: nobody but root can write to a layer. Values; one thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "image/unpack_protocol.h"

namespace berth::image::unpack {

// A file's content in any pieces with rising offsets: the sum over its blocks of 4 KiB that are not
// all zeros, so that holes need not be read.
class ContentSum {
 public:
  void Add(uint64_t offset, std::string_view bytes);
  uint64_t Finish();

 private:
  static constexpr size_t kBlock = 4096;
  void Flush();
  void AddBlock(uint64_t number, const char* bytes);

  uint64_t sum_ = 0;
  uint64_t number_ = 0;  // of the block in buffer_
  bool partial_ = false;
  std::array<char, kBlock> buffer_{};
};

// The sums of the files of a layer that is being written, by inode; a number that was used again
// means its last file.
class WrittenSums {
 public:
  void Set(ino_t inode, uint64_t sum) { sums_.emplace_back(inode, sum); }
  void Sort();
  uint64_t Find(ino_t inode) const;  // after Sort; 0 for a file without data

 private:
  std::vector<std::pair<ino_t, uint64_t>> sums_;
};

// Walks the tree below `root`. The sum of each regular file with data comes from `content`.
using ContentOf = std::function<Result<uint64_t>(int parent, const char* name, ino_t inode)>;
Result<TreeSum> SumTree(int root, const ContentOf& content);
// The same with every file read from disk.
Result<TreeSum> SumTreeFromDisk(int root);

}  // namespace berth::image::unpack
