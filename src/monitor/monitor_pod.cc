// SPDX-License-Identifier: Apache-2.0
// Requests about the pod as a whole, and those that hand descriptors out.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "monitor/monitor.h"
#include "monitor/pidfd.h"

namespace berth::monitor {

namespace {
constexpr size_t kMaxDialers = 512;
// The monitors of tests/crash/upgrade.py are of other versions.
#ifdef BERTH_MONITOR_PROTOCOL
constexpr uint32_t kOwnVersion = BERTH_MONITOR_PROTOCOL;
#else
constexpr uint32_t kOwnVersion = kProtocolVersion;
#endif
}  // namespace

void Monitor::DoHello(ReplyTo to, Hello hello, Fds) {
  if (hello.version < kOldestVersion || hello.version > kOwnVersion)
    return ReplyError(to, Error(Code::kFailedPrecondition,
                                StrCat("protocol version ", hello.version, ": the monitor has ",
                                       kOldestVersion, " to ", kOwnVersion)));
  server_.SetCurrent(to.connection);
  HelloAnswer answer;
  answer.version = kOwnVersion;
  answer.pid = static_cast<uint32_t>(::getpid());
  answer.warning = warning_;
  answer.set_up = setup_.has_value();
  answer.new_ipc = setup_ && setup_->new_ipc;
  answer.new_uts = setup_ && setup_->new_uts;
  answer.pid_ns_init = static_cast<uint32_t>(init_.pid);
  answer.user_ns_fd = UserNsNumber();
  for (const auto& container : containers_) {
    if (container->pid() == 0) continue;  // being created: its request was lost with its connection
    answer.containers.push_back({container->id(), container->phase(),
                                 static_cast<uint32_t>(container->pid()), container->exit()});
  }
  ReplyWith(to, answer);
}

void Monitor::DoSetup(ReplyTo to, Setup setup, Fds fds) {
  if (setup_) return ReplyError(to, Error(Code::kAlreadyExists, "pod is set up already"));
  Result<> done = FAIL_STEP("monitor.pod.setup", SetUp(std::move(setup), std::move(fds)));
  if (!done) return ReplyError(to, done.error());
  ReplyWith(to, SetupAnswer{static_cast<uint32_t>(init_.pid), UserNsNumber()});
}

Result<> Monitor::SetUp(Setup setup, Fds fds) {
  if (fds.size() !=
      size_t{setup.has_shm} + (setup.has_user_ns ? 3U : 0U) + size_t{setup.has_program})
    return Error(Code::kInvalidArgument, "setup: wrong number of fds");
  PodUserNs ns;
  if (setup.has_user_ns) {
    const size_t first = setup.has_shm ? 1 : 0;
    ns = {std::move(fds[first]), std::move(fds[first + 1]), std::move(fds[first + 2])};
  }
  TRY(EnterPodNamespaces(setup, ns), "setup");
  if (setup.shared_pid) init_ = TRY(StartPidNsInit(ns.user.get()), "setup");
  if (setup.has_shm) shm_ = std::move(fds[0]);
  if (setup.has_program) program_ = std::move(fds.back());
  user_ns_ = std::move(ns.user);
  setup_ = std::move(setup);
  return Ok();
}

uint32_t Monitor::UserNsNumber() const {
  return user_ns_ ? static_cast<uint32_t>(user_ns_.get()) : 0;
}

// A program may open its own stdout anew ("/dev/stdout"), which asks for the pipe's owner. Devices
// such as /dev/null stay the host's.
void Monitor::GiveToPod(int fd) const {
  struct stat st{};
  if (fd < 0 || !setup_->has_user_ns || ::fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) return;
  // Without it the OCI runtime may still give the pipe to its user.
  if (::fchown(fd, setup_->root_id, setup_->root_id) < 0)
    LogDebug("pod stdio: cannot be given away");
}

void Monitor::DoShutdown(ReplyTo to) {
  if (shutdown_) return ReplyError(to, Error(Code::kAborted, "pod is ending already"));
  (void)FAIL_POINT("monitor.pod.shutdown");
  shutdown_ = to;  // goes on in Sweep
}

// One step after each round: containers first, then whatever calls are in flight, then the
// namespace's init.
void Monitor::ShutdownStep() {
  for (auto& container : containers_) {
    if (container->deleting || (container->busy && container->pid() == 0)) continue;
    DoDelete({}, {container->id(), 60'000}, {});
  }
  if (!containers_.empty() || !calls_.empty() || finished_) return;
  if (init_.pidfd) {
    (void)SendSignal(init_.pidfd.get(), SIGKILL);
    siginfo_t info{};
    ::waitid(P_PIDFD, static_cast<id_t>(init_.pidfd.get()), &info, WEXITED);
  }
  (void)FAIL_POINT("monitor.pod.ended");
  Reply(*shutdown_, Ok());
  finished_ = true;
}

void Monitor::DoAttach(ReplyTo to, Attach attach, Fds given) {
  if (given.size() > 1)
    return ReplyError(to, Error(Code::kInvalidArgument, "attach: wrong number of fds"));
  Result<Container*> container = Find(attach.container_id);
  if (!container) return ReplyError(to, container.error());
  if ((*container)->phase() != Phase::kRunning)
    return ReplyError(to, Error(Code::kFailedPrecondition,
                                StrCat("container ", attach.container_id, ": not running")));
  Fds fds;
  os::Fd result = given.empty() ? os::Fd() : std::move(given[0]);
  Result<AttachAnswer> answer = (*container)->Attach(attach, std::move(result), fds);
  if (!answer) return ReplyError(to, answer.error());
  ReplyWith(to, *answer, fds);
}

void Monitor::DoDialer(ReplyTo to, Fds fds) {
  if (fds.size() != 2)
    return ReplyError(to, Error(Code::kInvalidArgument, "dialer: wrong number of fds"));
  if (dialers_.size() >= kMaxDialers)
    return ReplyError(to, Error(Code::kResourceExhausted, "too many port-forwards in the pod"));
  auto dialer = std::make_unique<Dialer>();
  Result<> opened = dialer->Open(loop_, std::move(fds[0]), std::move(fds[1]));
  if (opened) dialers_.push_back(std::move(dialer));
  Reply(to, opened);
}

}  // namespace berth::monitor
