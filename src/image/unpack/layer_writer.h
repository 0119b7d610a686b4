// SPDX-License-Identifier: Apache-2.0
// Writes the entries of one layer's tar in overlay form below an empty directory. Owned by one
// unpacking; one thread. Rules: OCI image-spec layer.md; overlay form: kernel
// Documentation/filesystems/overlayfs.rst, "whiteouts and opaque".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/unpack/limits.h"
#include "image/unpack/tar_entry.h"
#include "image/unpack/tar_reader.h"
#include "image/unpack/tree.h"
#include "image/unpack/tree_sum.h"
#include "image/unpack_protocol.h"
#include "os/fd.h"

namespace berth::image::unpack {

// Sets trusted.overlay.opaque on a directory, which only CAP_SYS_ADMIN may; see opaque_keeper.h.
class OpaqueMarker {
 public:
  virtual ~OpaqueMarker() = default;
  virtual Result<> Mark(int dir) = 0;
};

//   entry "a/.wh.b"         a/b becomes a character device 0:0 (unless the layer has a/b itself)
//   entry "a/.wh..wh..opq"  a gets trusted.overlay.opaque; in the root: LayerResult::opaque_root
//   directory over ".wh.x"  opaque too: nothing of the lower one may show through
class LayerWriter {
 public:
  LayerWriter(os::Fd root, OpaqueMarker& marker, const Limits& limits);

  // `data` gives the entry's content. InvalidArgument for what no layer may hold,
  // FailedPrecondition for a hard link to a file that this layer does not have, ResourceExhausted
  // beyond a budget; the entry's path is in the message.
  Result<> Apply(const TarEntry& entry, TarReader& data);
  // Sets the directories' times, which writing into them had changed, and sums the tree up.
  Result<> Finish();

  // Without the diff_id.
  LayerResult result() const;

 private:
  struct DirTimes {
    std::string path;
    ino_t inode;
    struct timespec times[2];
  };
  Result<> ApplyAt(const std::string& path, const TarEntry& entry, TarReader& data);
  Result<> Whiteout(const std::string& path, std::string_view name);
  Result<> File(const std::string& path, const TarEntry& entry, TarReader& data);
  Result<> WriteData(int fd, const TarEntry& entry, TarReader& data);
  Result<> Directory(const std::string& path, const TarEntry& entry);
  Result<> FinishDirectory(int fd, const std::string& path, const TarEntry& entry);
  Result<> HardLink(const std::string& path, const TarEntry& entry);
  Result<> Symlink(const std::string& path, const TarEntry& entry);
  Result<> Node(const std::string& path, const TarEntry& entry);
  Result<> FinishNode(const Place& place, const TarEntry& entry);
  // Runs `make` and, when something is at the place already, once more after removing it.
  template <class Make>
  Result<> MakeNew(const Place& place, Make make);
  Result<> ChargeInode();
  Result<> ChargeBytes(uint64_t bytes);

  const Limits limits_;
  Tree tree_;
  OpaqueMarker& marker_;
  std::vector<DirTimes> dirs_;
  uint64_t entries_ = 0;
  uint64_t inodes_ = 0;
  uint64_t bytes_ = 0;
  WrittenSums sums_;
  TreeSum tree_sum_;
  bool opaque_root_ = false;
  bool described_root_ = false;
};

}  // namespace berth::image::unpack
