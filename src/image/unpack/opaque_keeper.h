// SPDX-License-Identifier: Apache-2.0
// The one step of unpacking that needs CAP_SYS_ADMIN, kept apart from all parsing: a process that
// receives directory fds and sets trusted.overlay.opaque on them, and can do nothing else. See
// docs/decisions/0004-unpacking-layers.md.
#pragma once

#include "base/result.h"
#include "image/unpack/layer_writer.h"
#include "os/fd.h"

namespace berth::image::unpack {

// The unpacking side: sends the fd, waits for the answer. One thread.
class KeeperMarker final : public OpaqueMarker {
 public:
  explicit KeeperMarker(os::Fd socket) : socket_(std::move(socket)) {}
  Result<> Mark(int dir) override;

 private:
  os::Fd socket_;
};

// The keeper's whole life: serves until the other side closes. Allocates nothing; call it once its
// privileges are cut.
void ServeOpaque(int socket);

}  // namespace berth::image::unpack
