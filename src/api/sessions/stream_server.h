// SPDX-License-Identifier: Apache-2.0
// berthd's side of berth-stream: gives tokens out, keeps one berth-stream running, and answers what it asks. Owned by
// the daemon; Url, Ready and ReloadTls from any thread. A thread of its own watches the processes and their sockets;
// requests are answered on an executor.
//
//   Start --> starting --Ready--> serving --its end closes, nonsense, or it ends--> waiting --back-off--> starting
//                |                                                                    ^
//                +---------- cannot be started, no Ready in time, says why not -------+
//
// One that has closed its end (or got its end closed) lets its sessions go on: it is watched until it ends, beside its
// successor. ~StreamServer closes the socket and waits for nobody who still has sessions.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>

#include "api/sessions/node_view.h"
#include "api/sessions/session.h"
#include "base/clock.h"
#include "pod/engine.h"

namespace berth::sessions {

struct StreamServerOptions {
  std::string program;  // absolute path of berth-stream
  std::string address = "127.0.0.1";
  int port = 0;  // 0: any
  uid_t uid = 65534;
  gid_t gid = 65534;
  std::chrono::seconds creation_timeout{30};
  std::chrono::seconds idle_timeout{4 * 3600};
  // PEM files, absolute; no certificate: plain HTTP. With a client CA, clients must show a certificate of it.
  std::string tls_cert, tls_key, tls_client_ca;
  // A listening socket on which berth-stream answers cAdvisor; -1: it does not. The caller keeps it, and keeps it open as
  // long as the server lives.
  int info_socket = -1;
  NodeViewOptions view;
  std::chrono::milliseconds ready_timeout{30'000};
  std::chrono::milliseconds first_backoff{100};
  std::chrono::milliseconds longest_backoff{10'000};
};

class StreamServer final : public Sessions {
 public:
  // InvalidArgument for an address that is none, or half of a certificate. A berth-stream that cannot be started is no
  // error: Ready says so, and it is tried again.
  static Result<std::unique_ptr<StreamServer>> Start(StreamServerOptions options,
                                                     pod::Engine& engine, const Clock& clock);
  StreamServer(const StreamServer&) = delete;
  StreamServer& operator=(const StreamServer&) = delete;
  ~StreamServer() override;

  Result<std::string> Url(Session session) override;
  Result<> Ready() override;
  // Waits for a berth-stream that listens, or the first failure, which is the error, or the end of the time.
  Result<> WaitReady(std::chrono::milliseconds timeout);
  // Gives the certificate's files out anew; connections to come use them.
  void ReloadTls();

 private:
  StreamServer() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::sessions
