// SPDX-License-Identifier: Apache-2.0
// Sessions of FakeRuntime: real pipes and sockets, whose other ends wait for the test. A terminal is a stream socket.
#include <algorithm>

#include "base/strings.h"
#include "base/wire.h"
#include "os/socket.h"
#include "runtime/testing/fake_runtime.h"

namespace berth::runtime {

Result<SessionStreams> FakeRuntime::MakeSession(Session session, bool terminal, bool attach) {
  SessionStreams streams;
  os::SocketPair result = TRY(os::MakeSocketPair(os::SocketType::kSeqPacket));
  session.result = std::move(result.a);
  streams.result = std::move(result.b);
  if (terminal) {
    os::SocketPair pair = TRY(os::MakeSocketPair(os::SocketType::kStream));
    session.terminal = std::move(pair.a);
    streams.terminal = std::move(pair.b);
  }
  if (session.wanted.std_in && !terminal) {
    os::Pipe in = TRY(os::MakePipe());
    session.std_in = std::move(in.read);
    streams.std_in = std::move(in.write);
  }
  if (terminal ? attach : session.wanted.std_out) {
    os::Pipe out = TRY(os::MakePipe());
    session.std_out = std::move(out.write);
    streams.std_out = std::move(out.read);
  }
  if (session.wanted.std_err && !terminal) {
    os::Pipe err = TRY(os::MakePipe());
    session.std_err = std::move(err.write);
    streams.std_err = std::move(err.read);
  }
  state_.Lock()->sessions.push_back(std::move(session));
  return streams;
}

Result<SessionStreams> FakeRuntime::StartExec(const ExecRequest& request,
                                              const StreamsWanted& wanted) {
  Late late = TRY(Enter("StartExec", request.container_id));
  {
    auto state = state_.Lock();
    Container* container = TRY(Find(*state, request.sandbox_id, request.container_id));
    if (container->phase != ContainerPhase::kRunning)
      return Error(Code::kFailedPrecondition,
                   StrCat("container ", request.container_id, ": not running"));
  }
  Session session;
  session.kind = "exec";
  session.sandbox_id = request.sandbox_id;
  session.container_id = request.container_id;
  session.process_json = request.process_json;
  session.wanted = wanted;
  SessionStreams streams = TRY(MakeSession(std::move(session), request.terminal, false));
  if (late) return std::move(*late);
  return streams;
}

Result<SessionStreams> FakeRuntime::Attach(const std::string& sandbox_id,
                                           const std::string& container_id,
                                           const StreamsWanted& wanted) {
  Late late = TRY(Enter("Attach", container_id));
  bool terminal = false;
  Session session;
  session.kind = "attach";
  session.sandbox_id = sandbox_id;
  session.container_id = container_id;
  session.wanted = wanted;
  {
    auto state = state_.Lock();
    Container* container = TRY(Find(*state, sandbox_id, container_id));
    if (container->phase != ContainerPhase::kRunning)
      return Error(Code::kFailedPrecondition, StrCat("container ", container_id, ": not running"));
    terminal = container->terminal;
    session.wanted.std_in = wanted.std_in && container->stdin_open;
  }
  SessionStreams streams = TRY(MakeSession(std::move(session), terminal, true));
  if (late) return std::move(*late);
  return streams;
}

Result<os::Fd> FakeRuntime::OpenDialer(const std::string& sandbox_id, os::Fd netns) {
  Late late = TRY(Enter("OpenDialer", sandbox_id));
  Session session;
  session.kind = "dialer";
  session.sandbox_id = sandbox_id;
  session.netns = std::move(netns);
  os::SocketPair pair = TRY(os::MakeSocketPair(os::SocketType::kSeqPacket));
  session.dialer = std::move(pair.a);
  auto state = state_.Lock();
  auto sandbox = state->sandboxes.find(sandbox_id);
  if (sandbox == state->sandboxes.end())
    return Error(Code::kNotFound, StrCat("sandbox ", sandbox_id, ": not found"));
  if (!sandbox->second.monitor_alive)
    return Error(Code::kUnavailable, StrCat("monitor of sandbox ", sandbox_id, ": gone"));
  state->sessions.push_back(std::move(session));
  if (late) return std::move(*late);
  return std::move(pair.b);
}

std::optional<FakeRuntime::Session> FakeRuntime::TakeSession() {
  auto state = state_.Lock();
  if (state->sessions.empty()) return std::nullopt;
  Session session = std::move(state->sessions.front());
  state->sessions.erase(state->sessions.begin());
  return session;
}

void FakeRuntime::EndSession(Session& session, int exit_code) {
  for (os::Fd* fd : {&session.std_in, &session.std_out, &session.std_err, &session.terminal})
    fd->Reset();
  wire::Writer w;
  w.U32(static_cast<uint32_t>(exit_code));
  // A client that has gone is nothing to a monitor either.
  if (session.result) (void)os::SendMessage(session.result.get(), w.bytes());
  session.result.Reset();
  session.dialer.Reset();
}

}  // namespace berth::runtime
