// SPDX-License-Identifier: Apache-2.0
// Requests about one container.
#include <algorithm>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "monitor/kill.h"
#include "monitor/monitor.h"

namespace berth::monitor {

namespace {

Error WrongState(const std::string& id, std::string_view what) {
  return Error(Code::kFailedPrecondition, StrCat("container ", id, ": ", what));
}

}  // namespace

void Monitor::DoCreate(ReplyTo to, Create create, Fds fds) {
  Result<> begun = BeginCreate(to, create, std::move(fds));
  if (begun) return;
  Remove(create.container_id);
  ReplyError(to, begun.error());
}

Result<> Monitor::BeginCreate(ReplyTo to, const Create& create, Fds fds) {
  const std::string& id = create.container_id;
  if (Find(id)) {
    // Answered here: the caller takes what BeginCreate has made away.
    ReplyError(to, Error(Code::kAlreadyExists, StrCat("container ", id, ": exists")));
    return Ok();
  }
  if (containers_.size() >= kMaxContainers)
    return Error(Code::kResourceExhausted, "too many containers in the pod");
  size_t next = 0;
  if (fds.size() != size_t{create.has_rootfs} + size_t{create.has_log} + create.volumes)
    return Error(Code::kInvalidArgument, "create: wrong number of fds");
  os::Fd rootfs = create.has_rootfs ? std::move(fds[next++]) : os::Fd();
  os::DirFd log(create.has_log ? std::move(fds[next++]) : os::Fd());

  containers_.push_back(
      std::make_unique<Container>(loop_, &pod_, &oom_ledger_, id,
                                  Container::Events{[this](Container& c) { InitEnded(c); },
                                                    [this](Container& c) { ContainerEnded(c); }}));
  Container& container = *containers_.back();
  container.busy = true;
  const std::string number = NextNumber();
  TRY(FAIL_STEP("monitor.create.stdio",
                container.OpenStdio(create, std::move(log), &calls_dir_, StrCat(number, ".sock"))));

  for (int fd : {container.child_stdin(), container.child_stdout(), container.child_stderr()})
    GiveToPod(fd);

  CallSpec spec = RuntimeCall("create", number, create.timeout_ms);
  const std::string bundle = StrCat(setup_->pod_path, "/", kContainersDir, "/", id);
  const std::string pid_file = StrCat(setup_->pod_path, "/", kCallsDir, "/", number, ".pid");
  for (const std::string& arg :
       {std::string("--bundle"), bundle, std::string("--pid-file"), pid_file})
    spec.args.push_back(arg);
  if (create.terminal) {
    spec.args.push_back("--console-socket");
    spec.args.push_back(container.console().Path());
  }
  spec.args.push_back(id);
  spec.mounts.container_id = id;
  spec.mounts.rootfs = rootfs.get();
  for (; next < fds.size(); ++next) spec.mounts.volumes.push_back(fds[next].get());
  spec.mounts.shm = shm_.get();
  spec.std_in = container.child_stdin();
  spec.std_out = container.child_stdout();
  spec.std_err = container.child_stderr();
  std::shared_ptr<ProgramTime> time;
  if (create.timed) time = spec.time = std::make_shared<ProgramTime>();
  TRY(RunProgram(std::move(spec), [this, to, id, number, time](Result<> called) {
    EndCreate(to, id, number, time.get(), std::move(called));
  }));
  ++adopting_;
  (void)FAIL_POINT("monitor.create.running");
  return Ok();
}

void Monitor::EndCreate(ReplyTo to, const std::string& id, const std::string& number,
                        const ProgramTime* time, Result<> called) {
  --adopting_;
  orphans_pending_ = true;
  (void)FAIL_POINT("monitor.create.called");
  Result<int> pid = TakePid(number);
  Result<Container*> found = Find(id);
  if (!found) return ReplyError(to, found.error());
  Container& container = **found;
  container.busy = false;
  container.CloseChildEnds();
  if (called && !pid) called = std::move(pid.error()).Wrap(StrCat("container ", id));
  if (called) called = container.Adopt(*pid);
  if (!called) {
    container.DrainOutput();
    Remove(id);
    return ReplyError(to, called.error());
  }
  (void)FAIL_POINT("monitor.create.adopted");
  PidAnswer answer{static_cast<uint32_t>(container.pid())};
  if (time != nullptr) answer.time = *time;
  ReplyWith(to, answer);
}

void Monitor::Remove(const std::string& id) {
  auto it = std::find_if(containers_.begin(), containers_.end(),
                         [&](const auto& container) { return container->id() == id; });
  if (it == containers_.end()) return;
  removed_.push_back(std::move(*it));
  containers_.erase(it);
}

void Monitor::DoStart(ReplyTo to, ContainerCall call, Fds) {
  const std::string id = call.container_id;
  Result<Container*> found = Find(id);
  if (!found) return ReplyError(to, found.error());
  Container& container = **found;
  if (container.phase() != Phase::kCreated || container.busy || container.deleting)
    return ReplyError(to, WrongState(id, "not in state created"));
  (void)FAIL_POINT("monitor.start.asked");
  CallSpec spec = RuntimeCall("start", NextNumber(), call.timeout_ms);
  spec.args.push_back(id);
  std::shared_ptr<ProgramTime> time;
  if (call.timed) time = spec.time = std::make_shared<ProgramTime>();
  Result<> run = RunProgram(std::move(spec), [this, to, id, time](Result<> started) {
    Result<Container*> c = Find(id);
    if (!c) return ReplyError(to, c.error());
    (void)FAIL_POINT("monitor.start.called");
    (*c)->busy = false;
    if (started) (*c)->SetRunning();
    if (started && time)
      ReplyWith(to, TimeAnswer{*time});
    else
      Reply(to, started);
    (*c)->HoldExit(false);
  });
  if (!run) return ReplyError(to, run.error());
  container.busy = true;
  container.HoldExit(true);
  (void)FAIL_POINT("monitor.start.running");
}

void Monitor::DoSignal(ReplyTo to, Signal signal, Fds) {
  Result<Container*> container = Find(signal.container_id);
  if (!container) return ReplyError(to, container.error());
  (void)FAIL_POINT("monitor.signal");
  Reply(to, (*container)->Signal(static_cast<int>(signal.signal)));
}

void Monitor::DoKillAll(ReplyTo to, ContainerCall call, Fds) {
  Result<Container*> found = Find(call.container_id);
  if (!found) return ReplyError(to, found.error());
  Container& container = **found;
  Result<> killed = FAIL_STEP("monitor.kill", container.Signal(9));
  for (auto& session : sessions_) {
    if (session->container_id == call.container_id) KillExec({}, *session);
  }
  if (!killed || container.kill_group().empty()) return Reply(to, killed);
  Result<> helper = RunHelper(
      "kill container", [group = container.kill_group()] { return KillGroup(group); },
      [this, to](Result<> result) { Reply(to, result); });
  if (!helper) ReplyError(to, helper.error());
}

void Monitor::DoDelete(ReplyTo to, ContainerCall call, Fds) {
  const std::string& id = call.container_id;
  Result<Container*> found = Find(id);
  if (!found) return RunDelete(to, id, call.timeout_ms);
  Container& container = **found;
  if (container.busy && container.pid() == 0)
    return ReplyError(to, WrongState(id, "is being created"));
  if (container.deleting && container.phase() == Phase::kExited)
    return ReplyError(to, Error(Code::kAborted, StrCat("container ", id, ": is being deleted")));
  (void)FAIL_POINT("monitor.delete.asked");
  container.deleting = true;
  if (container.phase() == Phase::kExited) return RunDelete(to, id, call.timeout_ms);
  deletes_.push_back({id, to, call.timeout_ms});
  DoKillAll({}, {id, 0}, {});
}

void Monitor::RunDelete(ReplyTo to, const std::string& id, uint32_t timeout_ms) {
  CallSpec spec = RuntimeCall("delete", NextNumber(), timeout_ms);
  spec.args.push_back("--force");
  spec.args.push_back(id);
  auto end = [this, to, id](Result<> deleted) {
    (void)FAIL_POINT("monitor.delete.called");
    Result<Container*> container = Find(id);
    if (deleted) {
      Remove(id);
    } else if (container) {
      (*container)->deleting = false;
    }
    if (!deleted && shutdown_) {
      ReplyError(*shutdown_, deleted.error());
      shutdown_.reset();
    }
    Reply(to, deleted);
  };
  Result<> run = RunProgram(std::move(spec), end);
  (void)FAIL_POINT("monitor.delete.running");
  if (!run) end(std::move(run));
}

void Monitor::DoReopenLog(ReplyTo to, ContainerCall call, Fds) {
  Result<Container*> container = Find(call.container_id);
  if (!container) return ReplyError(to, container.error());
  if ((*container)->phase() != Phase::kRunning)
    return ReplyError(to, WrongState(call.container_id, "not running"));
  Reply(to, (*container)->ReopenLog());
}

// `update` of the OCI runtime with what the daemon has put in the bundle; the daemon sends one at a time.
void Monitor::DoUpdate(ReplyTo to, ContainerCall call, Fds) {
  const std::string& id = call.container_id;
  Result<Container*> container = Find(id);
  if (!container) return ReplyError(to, container.error());
  if ((*container)->phase() == Phase::kExited || (*container)->pid() == 0)
    return ReplyError(to, WrongState(id, "neither created nor running"));
  CallSpec spec = RuntimeCall("update", NextNumber(), call.timeout_ms);
  for (std::string arg :
       {std::string("--resources"),
        StrCat(setup_->pod_path, "/", kContainersDir, "/", id, "/", kResourcesName), id})
    spec.args.push_back(std::move(arg));
  Result<> run = RunProgram(std::move(spec), [this, to](Result<> done) { Reply(to, done); });
  if (!run) ReplyError(to, run.error());
}

// Without a PID namespace of its own the kernel ends nobody but the init.
void Monitor::InitEnded(Container& container) {
  if (container.own_pid_namespace()) return;
  for (auto& session : sessions_) {
    if (session->container_id == container.id()) KillExec({}, *session);
  }
  if (container.kill_group().empty()) return;
  Result<> helper = RunHelper(
      "kill container's rest", [group = container.kill_group()] { return KillGroup(group); },
      [](Result<> result) {
        if (!result) LogWarn(result.error().message());
      });
  if (!helper) LogWarn(helper.error().message());
}

void Monitor::ContainerEnded(Container& container) {
  (void)FAIL_POINT("monitor.exit.recorded");
  server_.Send(server_.current(), Packet(Type::kContainerExited, 0,
                                         ContainerExited{container.id(), *container.exit()}));
  std::vector<Waiter> ready;
  for (const Waiter& waiter : deletes_)
    if (waiter.container_id == container.id()) ready.push_back(waiter);
  std::erase_if(deletes_, [&](const Waiter& w) { return w.container_id == container.id(); });
  for (size_t i = 0; i < ready.size(); ++i) {
    if (i == 0)
      RunDelete(ready[i].to, ready[i].container_id, ready[i].timeout_ms);
    else
      ReplyError(ready[i].to,
                 Error(Code::kAborted, StrCat("container ", container.id(), ": is being deleted")));
  }
}

}  // namespace berth::monitor
