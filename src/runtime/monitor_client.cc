// SPDX-License-Identifier: Apache-2.0
#include "runtime/monitor_client.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "os/process.h"
#include "os/socket.h"

namespace berth::runtime {

namespace {

using std::chrono::milliseconds;

constexpr uint64_t kHelloId = 1;
// Waiting is counted in slices of this, so that a machine that stood still is not taken for a monitor that does.
constexpr milliseconds kSlice{1000};

void Wake(const ExecWait& wait) {
  const uint64_t one = 1;
  (void)!::write(wait.ready.get(), &one, sizeof one);
}

Error Gone() { return Error(Code::kUnavailable, "monitor: connection ended"); }

}  // namespace

Error MonitorHangs(const std::string& sandbox_id) {
  return Error(Code::kDeadlineExceeded,
               StrCat("sandbox ", sandbox_id, ": its monitor does not answer"));
}

Result<std::shared_ptr<MonitorClient>> MonitorClient::Open(const os::DirFd& pod,
                                                           const std::string& sandbox_id) {
  os::Fd socket =
      TRY(os::ConnectUnix(pod, monitor::kSocketName, os::SocketType::kSeqPacket, milliseconds(1)),
          "monitor");
  // A monitor that is stopped must not hold whoever talks to it.
  TRY(os::SetNonBlocking(socket.get(), true), "monitor");
  std::shared_ptr<MonitorClient> client(new MonitorClient(std::move(socket), sandbox_id));
  Result<> sent = os::SendMessage(
      client->socket_.get(), monitor::Packet(monitor::Type::kHello, kHelloId, monitor::Hello{}));
  if (!sent) return std::move(sent.error()).Wrap("monitor: hello").WithCode(Code::kUnavailable);
  return client;
}

Result<std::shared_ptr<MonitorClient>> MonitorClient::Connect(const os::DirFd& pod,
                                                              const std::string& sandbox_id,
                                                              milliseconds timeout) {
  std::shared_ptr<MonitorClient> client = TRY(Open(pod, sandbox_id));
  pollfd readable{client->fd(), POLLIN, 0};
  int n;
  do n = ::poll(&readable, 1, static_cast<int>(timeout.count()));
  while (n < 0 && errno == EINTR);
  if (n < 0) return ErrnoError("monitor: poll");
  if (n == 0) return Error(Code::kUnavailable, "monitor: hello: no answer in time");
  TRY(client->TakeHello());
  return client;
}

Result<> MonitorClient::TakeHello() {
  Result<os::Message> received =
      os::ReceiveMessage(socket_.get(), monitor::kMaxPacket, monitor::kMaxFds);
  if (!received)
    return std::move(received.error()).Wrap("monitor: hello").WithCode(Code::kUnavailable);
  if (received->end) return Gone();
  return TRY(DecodeHello(received->bytes), "monitor: hello"), Ok();
}

Result<> MonitorClient::DecodeHello(const std::string& packet) {
  wire::Reader reader(packet);
  const monitor::Header header = TRY(monitor::DecodeHeader(reader));
  if (header.type != monitor::Type::kReply || header.id != kHelloId)
    return Error(Code::kInternal, "unexpected packet");
  TRY(monitor::DecodeReplyStatus(reader));
  TRY(monitor::Decode(reader, hello_));
  if (hello_.version < monitor::kOldestVersion)
    return Error(Code::kFailedPrecondition, StrCat("version ", hello_.version, " is too old"));
  auto state = state_.Lock();
  ++state->heard;
  state->answered = true;
  state->hangs = false;
  return Ok();
}

Result<os::Fd> MonitorClient::OpenPidFd() const {
  os::Fd pidfd = TRY(os::Process::OpenPidFd(static_cast<int>(hello_.pid)), "monitor");
  // Its end of the connection is open after that: the number was its own.
  char byte;
  if (::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) return Gone();
  return pidfd;
}

void MonitorClient::Begin(os::EventLoop* loop, Events events) {
  loop_ = loop;
  events_ = std::move(events);
  loop->Post([self = shared_from_this()] {
    Result<> watched =
        self->loop_->Watch(self->socket_.get(), EPOLLIN, [self](uint32_t) { self->Readable(); });
    if (!watched) {
      LogError(StrCat("monitor connection: ", watched.error().message()));
      self->Ended();
    }
  });
}

void MonitorClient::Close() {
  state_.Lock()->closed = true;
  // The loop's thread sees the end and lets go of the socket.
  ::shutdown(socket_.get(), SHUT_RDWR);
}

bool MonitorClient::WaitLost(milliseconds timeout) {
  auto state = state_.Lock();
  return state_.WaitFor(state, timeout, [](const State& s) { return s.lost; });
}

Error MonitorClient::FoundHanging() {
  const bool known = std::exchange(state_.Lock()->hangs, true);
  state_.NotifyAll();  // nobody else needs to wait for it
  if (!known) LogWarn(MonitorHangs(sandbox_id_).message());
  return MonitorHangs(sandbox_id_);
}

Result<MonitorClient::Answer> MonitorClient::CallPacket(uint64_t id, const std::string& packet,
                                                        const CallLimits& limits,
                                                        std::span<const int> fds) {
  if (packet.size() > monitor::kMaxPacket)
    return Error(Code::kInvalidArgument, "monitor: request too long");
  {
    auto state = state_.Lock();
    if (state->lost || state->closed) return Gone();
    if (state->hangs && !limits.urgent) return MonitorHangs(sandbox_id_);
    state->pending.emplace(id, std::nullopt);
  }
  Result<> waited = Send(packet, limits, fds);
  if (waited) waited = Await(id, limits);
  auto state = state_.Lock();
  auto entry = state->pending.extract(id);
  if (entry.mapped()) return std::move(*entry.mapped());
  return std::move(waited.error());
}

Result<> MonitorClient::Send(const std::string& packet, const CallLimits& limits,
                             std::span<const int> fds) {
  milliseconds waited{0};
  for (;;) {
    Result<> sent = os::SendMessage(socket_.get(), packet, fds);
    if (sent) return sent;
    if (sent.error().sys_errno() != EAGAIN)
      return std::move(sent.error()).Wrap("monitor").WithCode(Code::kUnavailable);
    // It has not read for so long that no more fits in between.
    if (waited >= std::min(limits.total, limits.silence)) return FoundHanging();
    if (limits.cancelled.stop_requested()) return Error(Code::kCancelled, "its client has gone");
    pollfd writable{socket_.get(), POLLOUT, 0};
    (void)::poll(&writable, 1, static_cast<int>(kSlice.count()));
    waited += kSlice;
  }
}

void MonitorClient::SendOrDrop(const std::string& packet) {
  Result<> sent = os::SendMessage(socket_.get(), packet);
  if (!sent) LogDebug(StrCat("sandbox ", sandbox_id_, ": monitor: ", sent.error().message()));
}

Result<> MonitorClient::Await(uint64_t id, const CallLimits& limits) {
  std::stop_callback wake(limits.cancelled, [this] { state_.NotifyAll(); });
  Waited waited;
  waited.heard = state_.Lock()->heard;
  while (!TRY(AwaitSlice(id, limits, waited))) {
    if (waited.pinged || waited.silent < limits.silence / 2) continue;
    // It may be busy with this very call, and say nothing for as long as that takes.
    waited.pinged = true;
    SendOrDrop(monitor::Packet(monitor::Type::kPing, NextId()));
  }
  return Ok();
}

// True: the answer is there.
Result<bool> MonitorClient::AwaitSlice(uint64_t id, const CallLimits& limits, Waited& waited) {
  const milliseconds slice =
      std::min({kSlice, limits.total - waited.total, limits.silence - waited.silent});
  waited.total += slice;
  waited.silent += slice;
  {
    auto state = state_.Lock();
    (void)state_.WaitFor(state, slice, [&](State& s) {
      return s.pending[id] || limits.cancelled.stop_requested() || (s.hangs && !limits.urgent);
    });
    if (state->pending[id]) return true;
    if (limits.cancelled.stop_requested()) return Error(Code::kCancelled, "its client has gone");
    if (state->hangs && !limits.urgent) return MonitorHangs(sandbox_id_);
    if (state->heard != waited.heard) {
      waited.heard = state->heard;
      waited.silent = milliseconds(0);
      waited.pinged = false;
    }
  }
  if (waited.silent >= std::min(limits.silence, limits.total)) return FoundHanging();
  if (waited.total >= limits.total)
    return Error(Code::kDeadlineExceeded,
                 StrCat("sandbox ", sandbox_id_, ": its monitor has not done it in time"));
  return false;
}

Result<std::shared_ptr<ExecWait>> MonitorClient::ExpectExec(const std::string& exec_id) {
  auto wait = std::make_shared<ExecWait>();
  wait->ready = os::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wait->ready) return ErrnoError("make eventfd");
  auto state = state_.Lock();
  if (state->lost) return Gone();
  state->execs[exec_id] = wait;
  return wait;
}

void MonitorClient::ForgetExec(const std::string& exec_id) { state_.Lock()->execs.erase(exec_id); }

void MonitorClient::Readable() {
  bool end = false;
  Result<> read = ReadOne(end);
  if (!read) LogWarn(StrCat("monitor connection: ", read.error().message()));
  if (!read || end) Ended();
}

Result<> MonitorClient::ReadOne(bool& end) {
  Result<os::Message> received =
      os::ReceiveMessage(socket_.get(), monitor::kMaxPacket, monitor::kMaxFds);
  if (!received && received.error().sys_errno() == EAGAIN) return Ok();
  os::Message message = TRY(std::move(received));
  end = message.end;
  if (end) return Ok();
  if (!answered()) {
    TRY(DecodeHello(message.bytes), "hello");
    if (!state_.Lock()->closed && events_.answered) events_.answered();
    return Ok();
  }
  bool hung = false;
  {
    auto state = state_.Lock();
    ++state->heard;
    hung = std::exchange(state->hangs, false);
  }
  if (hung) LogInfo(StrCat("sandbox ", sandbox_id_, ": its monitor answers again"));
  wire::Reader reader(message.bytes);
  const monitor::Header header = TRY(monitor::DecodeHeader(reader));
  if (header.type != monitor::Type::kReply) return TakeEvent(header.type, reader);
  Result<> status = monitor::DecodeReplyStatus(reader);
  Answer answer;
  if (status) answer.body = message.bytes.substr(monitor::OkReply(header.id).size());
  answer.fds = std::move(message.fds);
  auto state = state_.Lock();
  auto found = state->pending.find(header.id);
  if (found == state->pending.end()) return Ok();  // its caller has given up
  found->second.emplace(status ? Result<Answer>(std::move(answer))
                               : Result<Answer>(std::move(status.error())));
  state_.NotifyAll();
  return Ok();
}

Result<> MonitorClient::TakeEvent(monitor::Type type, wire::Reader& reader) {
  if (type == monitor::Type::kContainerExited) {
    monitor::ContainerExited event;
    TRY(monitor::Decode(reader, event));
    if (!state_.Lock()->closed) events_.exited(event);
    return Ok();
  }
  if (type != monitor::Type::kExecExited) return Error(Code::kInternal, "unknown packet");
  monitor::ExecExited event;
  TRY(monitor::Decode(reader, event));
  auto state = state_.Lock();
  auto found = state->execs.find(event.exec_id);
  if (found == state->execs.end()) return Ok();
  *found->second->exit.Lock() = event.exit;
  Wake(*found->second);
  state->execs.erase(found);
  return Ok();
}

void MonitorClient::Ended() {
  loop_->Unwatch(socket_.get());
  bool tell;
  {
    auto state = state_.Lock();
    if (state->lost) return;
    state->lost = true;
    tell = !state->closed && !state->end_expected;
    for (auto& [id, slot] : state->pending)
      if (!slot) slot.emplace(Gone());
    for (auto& [id, wait] : state->execs) {
      *wait->lost.Lock() = true;
      Wake(*wait);
    }
    state->execs.clear();
    state_.NotifyAll();
  }
  if (tell) events_.lost();
}

}  // namespace berth::runtime
