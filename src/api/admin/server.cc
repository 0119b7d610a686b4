// SPDX-License-Identifier: Apache-2.0
#include "api/admin/server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "api/admin/metrics.h"
#include "api/admin/protocol.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/strings.h"
#include "os/socket.h"

namespace berth::api::admin {

namespace {

std::string Line(const image::LayerCheck& check) {
  std::string_view state = "good";
  switch (check.state) {
    case image::LayerState::kGood:
      break;
    case image::LayerState::kUnknown:
      state = "unknown: unpacked before sums were kept";
      break;
    case image::LayerState::kMissing:
      state = "missing";
      break;
    case image::LayerState::kChanged:
      state = "changed";
      break;
    case image::LayerState::kNotChecked:
      state = "not checked";
      break;
    case image::LayerState::kHealed:
      state = "healed";
      break;
    case image::LayerState::kNotHealed:
      state = "not healed";
      break;
  }
  return StrCat("sha256:", check.diff_id, " ", state, check.detail.empty() ? "" : ": ",
                check.detail.substr(0, 512));
}

// All of them, or with very many those that are not good: an answer is one message. What does not
// fit even so is counted.
std::vector<std::string> Lines(const std::vector<image::LayerCheck>& checks) {
  constexpr size_t kAll = 400;
  constexpr size_t kRoom = kMessageLimit / 2;
  std::vector<std::string> lines;
  size_t size = 0, left_out = 0;
  for (const image::LayerCheck& check : checks) {
    const bool good = check.state == image::LayerState::kGood;
    std::string line = Line(check);
    if ((good && checks.size() > kAll) || size + line.size() > kRoom) {
      if (!good) ++left_out;
      continue;
    }
    size += line.size();
    lines.push_back(std::move(line));
  }
  if (left_out > 0) lines.push_back(StrCat("and ", left_out, " more that are not good"));
  return lines;
}

}  // namespace

struct Server::Impl {
  image::Images& images;
  image::Maintenance& maintenance;
  os::Fd listener;
  os::Pipe wake;  // closing its write end ends the accepting thread
  std::thread acceptor;
  Executor executor{{.name = "admin calls", .max_threads = 4, .max_queue = 16}};

  Result<Answer> Handle(os::Message message) {
    Request request = TRY(DecodeRequest(message.bytes));
    Answer answer;
    if (request.verb == Verb::kListPulls) {
      for (const image::PullStatus& pull : maintenance.Pulls())
        answer.lines.push_back(image::PullLine(pull));
      return answer;
    }
    if (request.verb == Verb::kShowMetrics) {
      answer.lines = PullMetrics(maintenance.Pulls(), maintenance.Totals());
      return answer;
    }
    if (request.verb == Verb::kVerifyImages) {
      answer.lines = Lines(TRY(maintenance.Verify(request.name, request.heal), "verify"));
      return answer;
    }
    if (message.fds.size() != 1) {
      return Error(Code::kInvalidArgument, "import: one open file or directory is needed");
    }
    answer.lines = TRY(images.Import(std::move(message.fds[0]), request.name), "import");
    return answer;
  }

  void Serve(const os::Fd& peer) {
    // A client that connects and says nothing holds a thread no longer than this.
    timeval limit{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    Result<os::Message> message = os::ReceiveMessage(peer.get(), kMessageLimit, 1);
    if (!message || message->end) return;
    Result<Answer> answer = Handle(std::move(*message));
    if (!answer) {
      answer = Answer{answer.error().code(), answer.error().message(), {}};
    }
    if (Result<> sent = os::SendMessage(peer.get(), Encode(*answer)); !sent) {
      LogWarn(StrCat("admin answer: ", sent.error().message()));
    }
  }

  void AcceptOne() {
    Result<os::Fd> peer = os::Accept(listener.get());
    if (!peer) {
      // Without a descriptor the listener stays readable: again a little later, instead of spinning.
      pollfd over{wake.read.get(), POLLIN, 0};
      (void)::poll(&over, 1, 100);
      return;
    }
    Result<os::PeerCredentials> who = os::GetPeer(peer->get());
    if (!who || who->uid != ::geteuid()) return;
    auto shared = std::make_shared<os::Fd>(std::move(*peer));
    if (Result<> accepted = executor.Submit([this, shared] { Serve(*shared); }); !accepted) {
      LogWarn(StrCat("admin call refused: ", accepted.error().message()));
    }
  }

  void AcceptLoop() {
    for (;;) {
      std::array<pollfd, 2> fds = {pollfd{listener.get(), POLLIN, 0},
                                   pollfd{wake.read.get(), POLLIN, 0}};
      if (::poll(fds.data(), fds.size(), -1) < 0) continue;
      if (fds[1].revents != 0) return;
      if (fds[0].revents != 0) AcceptOne();
    }
  }
};

Result<std::unique_ptr<Server>> Server::Start(image::Images& images,
                                              image::Maintenance& maintenance,
                                              const os::DirFd& state_dir) {
  std::unique_ptr<Server> self(new Server());
  os::Fd listener =
      TRY(os::ListenUnix(state_dir, kSocketName, os::SocketType::kSeqPacket), "admin socket");
  os::Pipe wake = TRY(os::MakePipe());
  self->impl_.reset(new Impl{.images = images,
                             .maintenance = maintenance,
                             .listener = std::move(listener),
                             .wake = std::move(wake),
                             .acceptor = {}});
  self->impl_->acceptor = std::thread([impl = self->impl_.get()] { impl->AcceptLoop(); });
  return self;
}

Server::~Server() {
  if (!impl_) return;
  impl_->wake.write.Reset();
  if (impl_->acceptor.joinable()) impl_->acceptor.join();
}

}  // namespace berth::api::admin
