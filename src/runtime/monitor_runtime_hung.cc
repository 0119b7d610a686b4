// SPDX-License-Identifier: Apache-2.0
// Monitors that do not answer, at a start or at any time; and what has to work all the same: signals and kills.
//
// Nothing asks them time after time. The hello that was sent to one waits in its socket; its answer wakes the loop.
// Only one that has as many connections waiting as it may (from daemons before us) is tried again, each kReachAgain.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include <cerrno>

#include "base/log.h"
#include "base/strings.h"
#include "runtime/monitor_process.h"
#include "runtime/monitor_runtime.h"

namespace berth::runtime {

namespace {
constexpr std::chrono::seconds kReachAgain{5};
constexpr int kEndMs = 50;  // from the end of a connection to that of its process
}  // namespace

CallLimits MonitorRuntime::UrgentLimits(std::chrono::milliseconds total) const {
  CallLimits limits(total, config_.stop_timeout);
  limits.urgent = true;
  return limits;
}

Result<std::shared_ptr<MonitorClient>> MonitorRuntime::UrgentClient(const std::string& sandbox_id) {
  std::shared_ptr<MonitorClient> client = TRY(FindClient(sandbox_id));
  if (client) return client;
  auto state = state_.Lock();
  auto there = [&](State& s) {
    auto found = s.pods.find(sandbox_id);
    return found == s.pods.end() || found->second.client != nullptr;
  };
  if (!state_.WaitFor(state, config_.stop_timeout, there)) return MonitorHangs(sandbox_id);
  auto found = state->pods.find(sandbox_id);
  if (found != state->pods.end()) return found->second.client;
  return Error(Code::kUnavailable, StrCat("sandbox ", sandbox_id, ": its monitor is gone"));
}

Result<> MonitorRuntime::Signal(const std::string& sandbox_id, const std::string& container_id,
                                int signal) {
  TRY(CheckIds(sandbox_id, container_id));
  const CallLimits limits = UrgentLimits(config_.stop_timeout);
  auto send = [&]() -> Result<> {
    std::shared_ptr<MonitorClient> client = TRY(UrgentClient(sandbox_id));
    const monitor::Signal message{container_id, static_cast<uint32_t>(signal)};
    return TRY(client->Call(monitor::Type::kSignal, message, limits)), Ok();
  };
  Result<> sent = send();
  if (sent) return sent;
  // It has nothing to do for this but one system call, so it hangs: on a log's file system that does not answer, say. The
  // pod could never be stopped; it is one now whose monitor has died.
  if (sent.error().code() == Code::kDeadlineExceeded)
    sent = KillMonitor(sandbox_id, std::move(sent.error()));
  return std::move(sent.error()).Wrap(StrCat("signal container ", container_id));
}

Result<> MonitorRuntime::KillAll(const std::string& sandbox_id, const std::string& container_id) {
  // First what needs no program of the OCI runtime's, and shows whether the monitor answers at all.
  Result<> signalled = Signal(sandbox_id, container_id, SIGKILL);
  if (!signalled && signalled.error().code() == Code::kUnavailable) return signalled;
  Result<> killed =
      Call(monitor::Type::kKillAll, sandbox_id, container_id, UrgentLimits(ProgramLimits().total));
  if (!killed && killed.error().code() == Code::kDeadlineExceeded && !Client(sandbox_id))
    killed = KillMonitor(sandbox_id, std::move(killed.error()));
  return TRY(std::move(killed), StrCat("kill container ", container_id)), Ok();
}

bool MonitorRuntime::Reach(const std::string& sandbox_id, const os::DirFd& pod) {
  Result<std::shared_ptr<MonitorClient>> client = MonitorClient::Open(pod, sandbox_id);
  if (client) {
    Adopt(sandbox_id, *client, {});
    return true;
  }
  if (client.error().sys_errno() != EAGAIN) return false;
  ReachLater(sandbox_id);
  return true;
}

// False: it is gone, or never was.
bool MonitorRuntime::Reconnect(const std::string& sandbox_id) {
  std::shared_ptr<MonitorClient> before;
  os::Fd pidfd;
  {
    auto state = state_.Lock();
    auto found = state->pods.find(sandbox_id);
    if (found == state->pods.end() || found->second.killed) return false;
    before = found->second.client;
    const Pod& known = found->second;
    const int held = known.process.valid() ? known.process.pidfd() : known.pidfd.get();
    if (held >= 0) pidfd = os::Fd(::fcntl(held, F_DUPFD_CLOEXEC, 0));
  }
  // A process that it has forked may hold its socket for longer.
  pollfd ended{pidfd.get(), POLLIN, 0};
  if (pidfd && ::poll(&ended, 1, kEndMs) > 0) return false;
  Result<os::DirFd> pod = OpenPod(sandbox_id);
  if (!pod) return false;
  if (!before || before->answered()) return Reach(sandbox_id, *pod);
  // What it said was no hello: not at once again.
  if (!MonitorClient::Open(*pod, sandbox_id)) return false;
  ReachLater(sandbox_id);
  return true;
}

void MonitorRuntime::ReachLater(const std::string& sandbox_id) {
  state_.Lock()->pods[sandbox_id].client.reset();
  loop_->Post(
      [this, sandbox_id] { loop_->After(kReachAgain, [this, sandbox_id] { Lost(sandbox_id); }); });
}

// On the loop's thread, before any event of the monitor's.
void MonitorRuntime::Answered(const std::string& sandbox_id,
                              const std::shared_ptr<MonitorClient>& client) {
  Result<os::Fd> pidfd = client->OpenPidFd();
  std::function<void(MonitorAnswered)> answered;
  {
    auto state = state_.Lock();
    auto found = state->pods.find(sandbox_id);
    if (found == state->pods.end() || found->second.client != client) return;
    if (pidfd && !found->second.process.valid()) found->second.pidfd = std::move(*pidfd);
    answered = state->sink.answered;
  }
  LogInfo(StrCat("sandbox ", sandbox_id, ": its monitor answers"));
  for (const monitor::ContainerState& c : client->hello().containers)
    if (c.exit) ReportExit(sandbox_id, {c.container_id, *c.exit});
  Result<os::DirFd> pod = OpenPod(sandbox_id);
  if (pod && answered) answered({ObserveAnswered(sandbox_id, *pod, client->hello())});
}

Result<> MonitorRuntime::Kill(const std::string& sandbox_id) {
  os::Fd pidfd;
  {
    auto state = state_.Lock();
    auto found = state->pods.find(sandbox_id);
    if (found == state->pods.end()) return Ok();
    found->second.killed = true;
    if (found->second.process.valid()) return found->second.process.Kill(SIGKILL);
    if (found->second.pidfd) pidfd = TRY(found->second.pidfd.Duplicate());
  }
  return KillOther(TRY(OpenPod(sandbox_id)), pidfd);
}

Error MonitorRuntime::KillMonitor(const std::string& sandbox_id, Error why) {
  LogError(StrCat(why.message(), ": it is killed"));
  Result<> killed = Kill(sandbox_id);
  if (!killed) return std::move(killed.error());
  // Nobody else would notice its end soon when there is no connection.
  loop_->Post([this, sandbox_id] {
    Result<std::shared_ptr<MonitorClient>> client = FindClient(sandbox_id);
    if (client && !*client) Lost(sandbox_id);
  });
  return std::move(why).WithCode(Code::kUnavailable);
}

}  // namespace berth::runtime
