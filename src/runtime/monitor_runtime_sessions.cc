// SPDX-License-Identifier: Apache-2.0
// Sessions: their pipes and sockets are made here, one end goes to the monitor, the other to the caller, and nothing is
// kept.
#include <fcntl.h>

#include <array>

#include "base/fail_point.h"
#include "base/strings.h"
#include "os/socket.h"
#include "runtime/monitor_runtime.h"

namespace berth::runtime {

namespace {

using monitor::Type;
using std::chrono::milliseconds;

constexpr milliseconds kGrace{5'000};  // the monitor's own time limit comes first

struct Stdio {
  os::Fd null;
  os::Pipe in;
  os::Pipe out;
  os::Pipe err;
};

Result<Stdio> MakeStdio(const StreamsWanted& wanted) {
  Stdio stdio;
  stdio.null = os::Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!stdio.null) return ErrnoError("/dev/null");
  if (wanted.std_in) stdio.in = TRY(os::MakePipe());
  if (wanted.std_out) stdio.out = TRY(os::MakePipe());
  if (wanted.std_err) stdio.err = TRY(os::MakePipe());
  return stdio;
}

int OrNull(const os::Fd& fd, const os::Fd& null) { return fd ? fd.get() : null.get(); }

}  // namespace

Result<std::shared_ptr<MonitorClient>> MonitorRuntime::SessionClient(
    const std::string& sandbox_id) {
  std::shared_ptr<MonitorClient> client = TRY(Client(sandbox_id));
  if (client->hello().version < monitor::kSessionsVersion)
    return Error(Code::kUnimplemented, StrCat("sandbox ", sandbox_id,
                                              ": its monitor is of an older version of Berth, "
                                              "which has no streaming"));
  return client;
}

Result<SessionStreams> MonitorRuntime::StartExec(const ExecRequest& request,
                                                 const StreamsWanted& wanted) {
  std::shared_ptr<MonitorClient> client = TRY(SessionClient(request.sandbox_id));
  os::DirFd pod = TRY(OpenPod(request.sandbox_id));
  Stdio stdio = TRY(MakeStdio(request.terminal ? StreamsWanted{} : wanted), "exec");
  os::SocketPair result = TRY(os::MakeSocketPair(os::SocketType::kSeqPacket), "exec");
  monitor::Exec exec;
  exec.container_id = request.container_id;
  exec.exec_id = TRY(NewId());
  exec.terminal = request.terminal;
  exec.timeout_ms = static_cast<uint32_t>(config_.call_timeout.count());
  std::vector<int> fds;
  if (!request.terminal)
    fds = {OrNull(stdio.in.read, stdio.null), OrNull(stdio.out.write, stdio.null),
           OrNull(stdio.err.write, stdio.null)};
  fds.push_back(result.a.get());
  const std::string process = StrCat(monitor::kCallsDir, "/", exec.exec_id, ".json");
  TRY(FAIL_STEP("session.process", pod.WriteFile(process, request.process_json, 0600)), "exec");
  Result<MonitorClient::Answer> answer = FAIL_STEP(
      "session.begin",
      client->Call(Type::kExec, exec, {config_.call_timeout + kGrace, config_.silence}, fds));
  // The monitor has removed it, unless the request never came that far.
  (void)pod.RemoveFile(process);
  if (!answer) {
    // Should it have started after all, it must not go on unseen.
    if (answer.error().code() == Code::kDeadlineExceeded)
      client->Tell(Type::kExecKill, monitor::ExecKill{exec.exec_id});
    return std::move(answer.error()).Wrap("exec");
  }
  SessionStreams streams;
  streams.result = std::move(result.b);
  if (request.terminal) {
    if (answer->fds.size() != 1) return Error(Code::kInternal, "exec: no terminal came");
    streams.terminal = std::move(answer->fds[0]);
    return streams;
  }
  streams.std_in = std::move(stdio.in.write);
  streams.std_out = std::move(stdio.out.read);
  streams.std_err = std::move(stdio.err.read);
  return streams;
}

Result<SessionStreams> MonitorRuntime::Attach(const std::string& sandbox_id,
                                              const std::string& container_id,
                                              const StreamsWanted& wanted) {
  const std::string what = StrCat("attach to container ", container_id);
  std::shared_ptr<MonitorClient> client = TRY(SessionClient(sandbox_id), what);
  os::SocketPair result = TRY(os::MakeSocketPair(os::SocketType::kSeqPacket), what);
  const monitor::Attach attach{container_id, wanted.std_in, wanted.std_out, wanted.std_err};
  const int fd = result.a.get();
  MonitorClient::Answer answer =
      TRY(client->Call(Type::kAttach, attach, config_.quick_timeout, {&fd, 1}), what);
  const auto has = TRY(MonitorClient::Decoded<monitor::AttachAnswer>(answer), what);
  SessionStreams streams;
  streams.result = std::move(result.b);
  size_t used = 0;
  for (auto [there, to] :
       {std::pair{has.has_stdin, &streams.std_in}, std::pair{has.has_stdout, &streams.std_out},
        std::pair{has.has_stderr, &streams.std_err},
        std::pair{has.has_terminal, &streams.terminal}}) {
    if (!there) continue;
    if (used == answer.fds.size())
      return Error(Code::kInternal, StrCat(what, ": an fd is missing"));
    *to = std::move(answer.fds[used++]);
  }
  return streams;
}

Result<os::Fd> MonitorRuntime::OpenDialer(const std::string& sandbox_id, os::Fd netns) {
  const std::string what = StrCat("port-forward to sandbox ", sandbox_id);
  std::shared_ptr<MonitorClient> client = TRY(SessionClient(sandbox_id), what);
  if (!netns) netns = os::Fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!netns) return ErrnoError(StrCat(what, ": own network namespace"));
  os::SocketPair pair = TRY(os::MakeSocketPair(os::SocketType::kSeqPacket), what);
  const std::array<int, 2> fds{pair.a.get(), netns.get()};
  TRY(client->Call(Type::kDialer, config_.quick_timeout, fds), what);
  return std::move(pair.b);
}

}  // namespace berth::runtime
