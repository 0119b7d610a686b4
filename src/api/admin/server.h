// SPDX-License-Identifier: Apache-2.0
// Serves the admin socket: one thread that accepts, an executor for the work. Owned by the daemon;
// ends with it. Start from the main thread. Peers other than root are turned away by SO_PEERCRED.
#pragma once

#include <memory>

#include "base/result.h"
#include "image/images.h"
#include "image/maintenance.h"
#include "os/dir_fd.h"

namespace berth::api::admin {

class Server {
 public:
  static Result<std::unique_ptr<Server>> Start(image::Images& images,
                                               image::Maintenance& maintenance,
                                               const os::DirFd& state_dir);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

 private:
  Server() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::api::admin
