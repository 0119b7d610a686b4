// SPDX-License-Identifier: Apache-2.0
// Opens the files of an OCI layout for a berth-fetch that may not open any itself: the daemon's
// side of LayoutFiles. Owned by the session; has a thread of its own, which ends with it. Nothing
// is read here.
#pragma once

#include <memory>
#include <string_view>
#include <thread>

#include "base/result.h"
#include "os/dir_fd.h"
#include "os/fd.h"

namespace berth::image {

// One request, one answer on a SOCK_SEQPACKET pair:
//   -> "blobs/sha256/<hex>"        <- 0x00 + an fd open for reading   |   Code byte + text
class FileService {
 public:
  // Gives the end that berth-fetch gets in `client`.
  static Result<std::unique_ptr<FileService>> Start(os::DirFd dir, os::Fd& client);
  ~FileService();
  FileService(const FileService&) = delete;
  FileService& operator=(const FileService&) = delete;

  // "oci-layout", "index.json", "blobs/sha256/<64 hex>": all that a layout has (image-layout.md).
  static bool IsLayoutFile(std::string_view name);

 private:
  FileService(os::DirFd dir, os::Fd socket) : dir_(std::move(dir)), socket_(std::move(socket)) {}
  void Serve();
  Result<os::Fd> Open(std::string_view name) const;

  const os::DirFd dir_;
  const os::Fd socket_;
  std::thread thread_;
};

}  // namespace berth::image
