// SPDX-License-Identifier: Apache-2.0
#include "runtime/monitor_client.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strings.h"
#include "os/socket.h"

namespace berth::runtime {

namespace {

constexpr uint64_t kHelloId = 1;

Result<> SetTimeout(int socket, int option, std::chrono::milliseconds timeout) {
  timeval limit{};
  limit.tv_sec = timeout.count() / 1000;
  limit.tv_usec = timeout.count() % 1000 * 1000;
  if (::setsockopt(socket, SOL_SOCKET, option, &limit, sizeof limit) < 0)
    return ErrnoError("monitor socket: set timeout");
  return Ok();
}

void Wake(const ExecWait& wait) {
  const uint64_t one = 1;
  (void)!::write(wait.ready.get(), &one, sizeof one);
}

Error Gone() { return Error(Code::kUnavailable, "monitor: connection ended"); }

}  // namespace

Result<std::shared_ptr<MonitorClient>> MonitorClient::Connect(const os::DirFd& pod,
                                                              std::chrono::milliseconds timeout) {
  os::Fd socket =
      TRY(os::ConnectUnix(pod, monitor::kSocketName, os::SocketType::kSeqPacket), "monitor");
  // Not for ever: a monitor that is stopped must not hold a request.
  TRY(SetTimeout(socket.get(), SO_SNDTIMEO, std::chrono::seconds(10)));
  TRY(SetTimeout(socket.get(), SO_RCVTIMEO, timeout));
  std::shared_ptr<MonitorClient> client(new MonitorClient(std::move(socket)));
  TRY(client->SayHello(), "monitor: hello");
  return client;
}

Result<> MonitorClient::SayHello() {
  TRY(os::SendMessage(socket_.get(),
                      monitor::Packet(monitor::Type::kHello, kHelloId, monitor::Hello{})));
  Result<os::Message> received =
      os::ReceiveMessage(socket_.get(), monitor::kMaxPacket, monitor::kMaxFds);
  if (!received) {
    if (received.error().sys_errno() == EAGAIN)
      return Error(Code::kUnavailable, "no answer in time");
    return std::move(received.error()).WithCode(Code::kUnavailable);
  }
  if (received->end) return Gone();
  wire::Reader reader(received->bytes);
  const monitor::Header header = TRY(monitor::DecodeHeader(reader));
  if (header.type != monitor::Type::kReply || header.id != kHelloId)
    return Error(Code::kInternal, "unexpected packet");
  TRY(monitor::DecodeReplyStatus(reader));
  TRY(monitor::Decode(reader, hello_));
  if (hello_.version < monitor::kOldestVersion)
    return Error(Code::kFailedPrecondition, StrCat("version ", hello_.version, " is too old"));
  return Ok();
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

bool MonitorClient::lost() { return state_.Lock()->lost; }

bool MonitorClient::WaitLost(std::chrono::milliseconds timeout) {
  auto state = state_.Lock();
  return state_.WaitFor(state, timeout, [](const State& s) { return s.lost; });
}

Result<MonitorClient::Answer> MonitorClient::CallPacket(uint64_t id, const std::string& packet,
                                                        std::chrono::milliseconds timeout,
                                                        std::span<const int> fds) {
  if (packet.size() > monitor::kMaxPacket)
    return Error(Code::kInvalidArgument, "monitor: request too long");
  {
    auto state = state_.Lock();
    if (state->lost || state->closed) return Gone();
    state->pending.emplace(id, std::nullopt);
  }
  Result<> sent = os::SendMessage(socket_.get(), packet, fds);
  auto state = state_.Lock();
  if (!sent) {
    state->pending.erase(id);
    return std::move(sent.error()).Wrap("monitor").WithCode(Code::kUnavailable);
  }
  const bool answered =
      state_.WaitFor(state, timeout, [id](State& s) { return s.pending[id].has_value(); });
  auto entry = state->pending.extract(id);
  if (!answered) return Error(Code::kDeadlineExceeded, "monitor: no answer in time");
  return std::move(**&entry.mapped());
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
  os::Message message =
      TRY(os::ReceiveMessage(socket_.get(), monitor::kMaxPacket, monitor::kMaxFds));
  end = message.end;
  if (end) return Ok();
  wire::Reader reader(message.bytes);
  const monitor::Header header = TRY(monitor::DecodeHeader(reader));
  if (header.type == monitor::Type::kContainerExited) {
    monitor::ContainerExited event;
    TRY(monitor::Decode(reader, event));
    if (!state_.Lock()->closed) events_.exited(event);
    return Ok();
  }
  if (header.type == monitor::Type::kExecExited) {
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
  if (header.type != monitor::Type::kReply) return Error(Code::kInternal, "unknown packet");
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
