// SPDX-License-Identifier: Apache-2.0
#include "api/sessions/stream_server.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <thread>

#include "api/sessions/desk.h"
#include "api/sessions/tls_files.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/strings.h"
#include "os/event_loop.h"
#include "os/process.h"
#include "os/socket.h"

namespace berth::sessions {

namespace {

constexpr std::chrono::seconds kStable{
    10};  // having served so long, the next failure is the first again
constexpr std::chrono::seconds kEndPatience{1};
constexpr size_t kMostBusy = 64;

Result<bool> IsIpv6(const std::string& address) {
  in6_addr bytes;
  if (::inet_pton(AF_INET, address.c_str(), &bytes) == 1) return false;
  if (::inet_pton(AF_INET6, address.c_str(), &bytes) == 1) return true;
  return Error(Code::kInvalidArgument,
               StrCat("streaming address ", Quote(address), ": not an IP address"));
}

// Clients are on this machine: where every address is listened on, the loopback one is the way.
std::string HostOf(const std::string& address, bool ipv6) {
  if (address == "0.0.0.0") return "127.0.0.1";
  if (!ipv6) return address;
  return address == "::" ? "[::1]" : StrCat("[", address, "]");
}

}  // namespace

// One berth-stream. Shared with requests that are being answered: their answers find the socket, or its end.
struct Child {
  Child(os::Fd end, pod::Engine& engine, TokenTable& tokens, NodeViewOptions view)
      : socket(std::move(end)), desk(engine, tokens, std::move(view)) {}
  const os::Fd socket;
  Desk desk;
  os::Process process;
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
  bool ready = false;
};
using ChildPtr = std::shared_ptr<Child>;

struct StreamServer::Impl {
  struct Shared {
    uint32_t port = 0;  // 0: nobody listens
    std::string why = "the streaming server is being started";
    bool failed = false;  // at least once
  };

  Impl(StreamServerOptions o, pod::Engine& e, const Clock& clock)
      : options(std::move(o)), engine(e), tokens(clock) {}

  // On the loop's thread.
  void Spawn();
  Result<ChildPtr> SpawnChild();
  Result<> SendTls(Child& child);
  void Readable(const ChildPtr& child);
  Result<bool> ReadOne(const ChildPtr& child);  // false: the end
  Result<> OnNotice(Child& child, const stream::Header& header, wire::Reader& reader);
  void Answer(const ChildPtr& child, std::string packet);
  void Leave(const ChildPtr& child, const std::string& why);
  void Exited(const ChildPtr& child);
  void Retry(const std::string& why);
  void LookAtTls();
  void Close();

  const StreamServerOptions options;
  pod::Engine& engine;
  TokenTable tokens;
  bool ipv6 = false;
  Guarded<Shared> shared;
  std::unique_ptr<os::EventLoop> loop;
  TlsFiles tls;
  ChildPtr current;
  std::list<ChildPtr> leaving;
  std::chrono::milliseconds backoff{0};
  os::EventLoop::TimerId ready_timer = 0;
  std::thread thread;
  Executor executor{{.name = "streaming requests", .max_threads = kMostBusy}};
};

Result<ChildPtr> StreamServer::Impl::SpawnChild() {
  os::SocketPair pair = TRY(os::MakeSocketPair(os::SocketType::kSeqPacket));
  // One that does not read must not hold an executor's thread for ever.
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(pair.a.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  os::SpawnOptions spawn;
  spawn.path = options.program;
  spawn.args = {"berth-stream",
                StrCat("--address=", options.address),
                StrCat("--port=", options.port),
                StrCat("--uid=", options.uid),
                StrCat("--gid=", options.gid),
                StrCat("--creation-timeout=", options.creation_timeout.count()),
                StrCat("--idle-timeout=", options.idle_timeout.count())};
  if (tls.configured()) spawn.args.push_back("--tls");
  spawn.fds = {{pair.b.get(), stream::kDaemonFd}, {STDERR_FILENO, STDERR_FILENO}};
  if (options.info_socket >= 0) {
    spawn.args.push_back("--info");
    spawn.fds.push_back({options.info_socket, stream::kInfoFd});
  }
  spawn.new_session = true;
  auto child = std::make_shared<Child>(std::move(pair.a), engine, tokens, options.view);
  child->process = TRY(os::Spawn(spawn));
  if (tls.configured()) TRY(SendTls(*child));
  TRY(loop->Watch(child->socket.get(), EPOLLIN, [this, child](uint32_t) { Readable(child); }));
  Result<> watched =
      loop->Watch(child->process.pidfd(), EPOLLIN, [this, child](uint32_t) { Exited(child); });
  if (watched) return child;
  loop->Unwatch(child->socket.get());
  return std::move(watched.error());
}

Result<> StreamServer::Impl::SendTls(Child& child) {
  std::vector<os::Fd> files = TRY(tls.Open(), "TLS");
  std::vector<int> fds;
  for (const os::Fd& file : files) fds.push_back(file.get());
  return os::SendMessage(child.socket.get(), stream::Packet(stream::Type::kTls, 0), fds);
}

void StreamServer::Impl::Spawn() {
  Result<ChildPtr> child = SpawnChild();
  if (!child) return Retry(StrCat("start berth-stream: ", child.error().message()));
  current = std::move(*child);
  ready_timer = loop->After(options.ready_timeout, [this, starting = current] {
    ready_timer = 0;
    if (current != starting || starting->ready) return;
    (void)starting->process.Kill(SIGKILL);
    Leave(starting, "berth-stream: did not become ready in time");
  });
}

void StreamServer::Impl::Retry(const std::string& why) {
  LogWarn(StrCat("streaming: ", why));
  {
    auto state = shared.Lock();
    state->port = 0;
    state->why = why;
    state->failed = true;
  }
  shared.NotifyAll();
  backoff = std::clamp(backoff * 2, options.first_backoff, options.longest_backoff);
  loop->After(backoff, [this] { Spawn(); });
}

// The socket ends here, the process is watched on; its successor is started.
void StreamServer::Impl::Leave(const ChildPtr& child, const std::string& why) {
  if (child != current) return;
  loop->Unwatch(child->socket.get());
  ::shutdown(child->socket.get(), SHUT_RDWR);
  if (ready_timer != 0) loop->Cancel(std::exchange(ready_timer, 0));
  leaving.push_back(std::move(current));
  current = nullptr;
  if (child->ready && std::chrono::steady_clock::now() - child->began > kStable) backoff = {};
  Retry(why);
}

void StreamServer::Impl::Exited(const ChildPtr& child) {
  Result<std::optional<os::ExitStatus>> status = child->process.Wait(std::chrono::nanoseconds(0));
  if (status && !*status) return;
  const ChildPtr keep = child;  // the callbacks that hold it end here
  // What it said last is why.
  if (keep == current) Readable(keep);
  Leave(keep, StrCat("berth-stream: ended: ",
                     status ? os::Describe(**status) : status.error().message()));
  loop->Unwatch(keep->process.pidfd());
  leaving.remove(keep);
}

void StreamServer::Impl::Readable(const ChildPtr& given) {
  const ChildPtr child = given;
  Result<bool> more = ReadOne(child);
  if (more && *more) return;
  // One that talks nonsense must not keep the port, nor anything else.
  if (!more) (void)child->process.Kill(SIGKILL);
  Leave(child, StrCat("berth-stream: ", more ? "closed its socket" : more.error().message()));
}

Result<bool> StreamServer::Impl::ReadOne(const ChildPtr& child) {
  os::Message message = TRY(os::ReceiveMessage(child->socket.get(), stream::kMaxPacket, 0));
  if (message.end) return false;
  wire::Reader reader(message.bytes);
  const stream::Header header = TRY(stream::DecodeHeader(reader));
  if (header.id == 0)
    TRY(OnNotice(*child, header, reader));
  else
    Answer(child, std::move(message.bytes));
  return true;
}

Result<> StreamServer::Impl::OnNotice(Child& child, const stream::Header& header,
                                      wire::Reader& reader) {
  if (header.type == stream::Type::kReply) {
    Result<> said = stream::DecodeReplyStatus(reader);
    if (said) return Error(Code::kInvalidArgument, "a notice of success");
    // Not ready: it ends after this. Ready: it stays with the TLS files that it has.
    if (!child.ready) return std::move(said.error());
    LogWarn(StrCat("streaming: berth-stream: ", said.error().message()));
    return Ok();
  }
  if (header.type != stream::Type::kReady || child.ready)
    return Error(Code::kInvalidArgument,
                 StrCat("notice of type ", static_cast<uint32_t>(header.type)));
  stream::Ready ready;
  TRY(stream::Decode(reader, ready));
  if (ready.tls != tls.configured()) return Error(Code::kInternal, "TLS is not as configured");
  child.ready = true;
  if (ready_timer != 0) loop->Cancel(std::exchange(ready_timer, 0));
  shared.Lock()->port = ready.port;
  shared.NotifyAll();
  LogInfo(StrCat("streaming: berth-stream ", child.process.pid(), " listens on ", options.address,
                 " port ", ready.port, ready.tls ? " with TLS" : ""));
  return Ok();
}

void StreamServer::Impl::Answer(const ChildPtr& child, std::string packet) {
  auto reply = [child](const std::string& bytes, const std::vector<os::Fd>& files) {
    std::vector<int> fds;
    for (const os::Fd& fd : files) fds.push_back(fd.get());
    if (Result<> sent = os::SendMessage(child->socket.get(), bytes, fds); !sent)
      LogDebug(StrCat("streaming: answer: ", sent.error().message()));
  };
  wire::Reader reader(packet);
  const uint64_t id = stream::DecodeHeader(reader)->id;
  Result<> accepted = executor.Submit([this, child, reply, packet = std::move(packet)] {
    Result<Desk::Answer> answer = child->desk.Handle(packet);
    if (answer) return reply(answer->packet, answer->fds);
    loop->Post([this, child, why = StrCat("berth-stream: ", answer.error().message())] {
      if (child == current) (void)child->process.Kill(SIGKILL);
      Leave(child, why);
    });
  });
  if (!accepted) reply(stream::ErrorReply(id, accepted.error()), {});
}

void StreamServer::Impl::LookAtTls() {
  if (current && tls.Changed()) {
    Result<> sent = SendTls(*current);
    if (!sent) LogWarn(StrCat("streaming: ", sent.error().message()));
  }
  loop->After(TlsFiles::kLookEvery, [this] { LookAtTls(); });
}

void StreamServer::Impl::Close() {
  if (current) {
    loop->Unwatch(current->socket.get());
    ::shutdown(current->socket.get(), SHUT_RDWR);
    leaving.push_back(std::move(current));
  }
  for (const ChildPtr& child : leaving) loop->Unwatch(child->process.pidfd());
  loop->Stop();
}

Result<std::unique_ptr<StreamServer>> StreamServer::Start(StreamServerOptions options,
                                                          pod::Engine& engine, const Clock& clock) {
  std::unique_ptr<StreamServer> self(new StreamServer());
  self->impl_ = std::make_unique<Impl>(std::move(options), engine, clock);
  Impl& impl = *self->impl_;
  impl.ipv6 = TRY(IsIpv6(impl.options.address));
  impl.tls =
      TRY(TlsFiles::Make(impl.options.tls_cert, impl.options.tls_key, impl.options.tls_client_ca));
  if (impl.options.address != "127.0.0.1" && impl.options.address != "::1" &&
      !impl.tls.checks_clients())
    LogWarn(StrCat("streaming: ", impl.options.address,
                   " may be reached from elsewhere, and only the token says who may"));
  impl.loop = TRY(os::EventLoop::Make());
  impl.loop->Post([&impl] { impl.Spawn(); });
  if (impl.tls.configured()) impl.loop->Post([&impl] { impl.LookAtTls(); });
  impl.thread = std::thread([&impl] {
    if (Result<> run = impl.loop->Run(); !run)
      LogError(StrCat("streaming: ", run.error().message()));
  });
  return self;
}

StreamServer::~StreamServer() {
  if (!impl_ || !impl_->thread.joinable()) return;
  impl_->loop->Post([this] { impl_->Close(); });
  impl_->thread.join();
  for (const ChildPtr& child : impl_->leaving) {
    Result<std::optional<os::ExitStatus>> ended = child->process.Wait(kEndPatience);
    // It has sessions: it ends with the last of them.
    if (!ended || !*ended) (void)child->process.Detach();
  }
}

Result<> StreamServer::Ready() {
  auto state = impl_->shared.Lock();
  if (state->port == 0) return Error(Code::kUnavailable, state->why);
  return Ok();
}

Result<> StreamServer::WaitReady(std::chrono::milliseconds timeout) {
  auto state = impl_->shared.Lock();
  impl_->shared.WaitFor(state, timeout, [](const auto& s) { return s.port != 0 || s.failed; });
  if (state->port != 0) return Ok();
  return Error(Code::kUnavailable, state->why);
}

Result<std::string> StreamServer::Url(Session session) {
  uint32_t port;
  {
    auto state = impl_->shared.Lock();
    port = state->port;
    if (port == 0) return Error(Code::kUnavailable, StrCat("streaming: ", state->why));
  }
  constexpr const char* kPaths[] = {"exec", "attach", "portforward"};
  const char* path = kPaths[session.index()];
  const std::string token = TRY(impl_->tokens.Issue(std::move(session)));
  return StrCat(impl_->tls.configured() ? "https://" : "http://",
                HostOf(impl_->options.address, impl_->ipv6), ":", port, "/", path, "/", token);
}

void StreamServer::ReloadTls() {
  if (!impl_->tls.configured()) return;
  impl_->loop->Post([impl = impl_.get()] {
    if (!impl->current) return;
    if (Result<> sent = impl->SendTls(*impl->current); !sent)
      LogWarn(StrCat("streaming: ", sent.error().message()));
  });
}

}  // namespace berth::sessions
