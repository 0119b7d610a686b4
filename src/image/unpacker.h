// SPDX-License-Identifier: Apache-2.0
// What the store lets berth-unpack do. Implemented by ProcessUnpacker and by FakeUnpacker
// (testing/). Owned by the daemon; any thread; a Running belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "image/images.h"
#include "image/unpack_protocol.h"
#include "os/dir_fd.h"
#include "os/fd.h"
#include "os/mount.h"

namespace berth::image {

struct LayerBudget {
  uint64_t bytes = uint64_t{100} << 30;
  uint64_t entries = 5'000'000;
};

class RunningUnpack {
 public:
  virtual ~RunningUnpack() = default;  // kills it
  // Blocks until the input ended and everything is written (not synced). DataLoss,
  // ResourceExhausted ... as the layer was.
  virtual Result<LayerResult> Wait() = 0;
};

class Unpacker {
 public:
  virtual ~Unpacker() = default;
  // Unpacks the compressed tar that comes out of `input` (a pipe) into the empty directory `into`.
  virtual Result<std::unique_ptr<RunningUnpack>> Start(const os::DirFd& into, os::Fd input,
                                                       const LayerBudget& budget) = 0;
  // `image` is a detached, read-only mount of the image's files.
  virtual Result<ResolvedUser> ResolveUser(os::Mount image, const UserQuery& query) = 0;
  // LayerResult::tree_sum of a layer that was unpacked before, as it is on disk now. Blocks while all
  // of it is read.
  virtual Result<TreeSum> SumLayer(const os::DirFd& layer) = 0;
};

// Runs the program berth-unpack at `path`.
class ProcessUnpacker final : public Unpacker {
 public:
  explicit ProcessUnpacker(std::string path) : path_(std::move(path)) {}
  Result<std::unique_ptr<RunningUnpack>> Start(const os::DirFd& into, os::Fd input,
                                               const LayerBudget& budget) override;
  Result<ResolvedUser> ResolveUser(os::Mount image, const UserQuery& query) override;
  Result<TreeSum> SumLayer(const os::DirFd& layer) override;

 private:
  std::string path_;
};

}  // namespace berth::image
