// SPDX-License-Identifier: Apache-2.0
// The one message that berth-unpack sends to the daemon on its fd 3 before it ends. Values and pure
// functions; any thread. The daemon trusts none of it beyond what Decode checks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/images.h"

namespace berth::image {

//   berth-unpack layer <bytes> <entries>    fds: 3 result (write end), 4 empty directory, 5 compressed stream
//   berth-unpack sum                        fds: 3 result, 4 a layer's directory, 5 /dev/null
//   berth-unpack user                       fds: 3 result, 4 detached read-only mount of the image,
//                                           5 EncodeUserQuery
inline constexpr int kUnpackResultFd = 3;
inline constexpr int kUnpackDirFd = 4;
inline constexpr int kUnpackInputFd = 5;
inline constexpr size_t kMaxUnpackResult = 64U << 20;
inline constexpr size_t kMaxImpliedDirs = 200'000;

// Of a layer as it lies on disk, see unpack/tree_sum.h; 0: not known.
struct TreeSum {
  uint64_t entries = 0;  // all that is below its root directory
  uint64_t root = 0;     // the root directory itself
  bool operator==(const TreeSum&) const = default;
};

struct LayerResult {
  std::string diff_id;  // 64 hexadecimal digits: sha256 of the whole inflated stream
  uint64_t bytes = 0;   // on disk, estimated: data in 4 KiB blocks, one block for each other inode
  uint64_t inodes = 0;  // made, hard links not counted
  TreeSum tree_sum;     // of the tree as it was written
  bool opaque_root = false;     // nothing of the layers below may be seen
  bool described_root = false;  // the layer says owner and mode of the root directory
  // Directories that have entries here but that the layer does not describe: their owner and mode
  // are the lower layers'. Clean relative paths without symlinks.
  std::vector<std::string> implied_dirs;
};

std::string EncodeLayerResult(const LayerResult& result);
Result<LayerResult> DecodeLayerResult(std::string_view bytes);

std::string EncodeTreeSum(const TreeSum& sum);
Result<TreeSum> DecodeTreeSum(std::string_view bytes);

std::string EncodeUserQuery(const UserQuery& query);
Result<UserQuery> DecodeUserQuery(std::string_view bytes);
std::string EncodeUser(const ResolvedUser& user);
Result<ResolvedUser> DecodeUser(std::string_view bytes);

// Success and failure in one frame: a flag, then the payload or code and message.
std::string EncodeSuccess(std::string_view payload);
std::string EncodeFailure(const Error& error);
// The payload, or the error that was sent; Internal when it is neither ("berth-unpack: ...").
Result<std::string> DecodeOutcome(std::string_view bytes);

}  // namespace berth::image
