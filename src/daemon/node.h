// SPDX-License-Identifier: Apache-2.0
// The composition root: every part of the daemon made in order, from a Config, and connected. Owned
// by main, which alone calls it; destroyed in the opposite order.
#pragma once

#include <memory>
#include <string>

#include "api/admin/server.h"
#include "api/cri/server.h"
#include "api/sessions/stream_server.h"
#include "base/clock.h"
#include "base/result.h"
#include "daemon/config.h"
#include "image/fetcher.h"
#include "image/image_store.h"
#include "image/unpacker.h"
#include "os/dir_fd.h"
#include "pod/engine.h"
#include "pod/records.h"
#include "runtime/host.h"
#include "runtime/network.h"
#include "runtime/runtime.h"
#include "runtime/stats.h"

namespace berth::daemon {

class Node {
 public:
  // Takes the root and state directories (FailedPrecondition when another berthd has one), makes the state
  // directory a private mount point, recovers the records, then serves. `executable_dir` is where
  // berthd is.
  static Result<std::unique_ptr<Node>> Start(const Config& config,
                                             const std::string& executable_dir);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  // Stops serving; pods go on running. With no pod left the state directory is an ordinary one
  // again.
  ~Node();
  // What may change while the daemon runs: the streaming server's TLS files.
  void Reload();

 private:
  Node() = default;
  Result<> OpenDirectories();
  Result<> OpenParts(const std::string& libexec);
  Result<> OpenCadvisorSocket();
  Result<> MakeEngine();
  Result<> StartStreams(const std::string& libexec);
  Result<> Serve();

  Config config_;
  bool systemd_cgroup_ = false;
  bool for_cadvisor_ = false;
  os::Fd cadvisor_socket_;  // berth-stream listens on it
  os::DirFd root_;
  os::DirFd state_;
  os::Fd root_lock_;
  os::Fd state_lock_;
  SystemClock clock_;
  std::unique_ptr<runtime::Host> host_;
  std::unique_ptr<image::Fetcher> fetcher_;
  std::unique_ptr<image::Unpacker> unpacker_;
  std::unique_ptr<image::ImageStore> images_;
  std::unique_ptr<runtime::Network> network_;
  std::unique_ptr<runtime::Runtime> runtime_;
  std::unique_ptr<runtime::Stats> stats_;
  std::unique_ptr<pod::Records> records_;
  std::unique_ptr<pod::Engine> engine_;
  std::unique_ptr<api::admin::Server> admin_;
  std::unique_ptr<sessions::StreamServer> streams_;
  std::unique_ptr<api::Server> server_;
};

}  // namespace berth::daemon
