// SPDX-License-Identifier: Apache-2.0
// A Runtime without processes: keeps what would exist in memory, fails where a test says, sends
// exits when told. Owned by a test; outlives the engine under test, so that a second engine finds
// what the first left. Any thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "os/fd.h"
#include "runtime/runtime.h"

namespace berth::runtime {

class FakeRuntime final : public Runtime {
 public:
  // Called without a lock before each method with its name ("StartSandbox", "Create", ...) and the
  // container's id, or the sandbox's for calls about sandboxes. An error fails the call before it
  // has any effect. May block.
  using Hook = std::function<Result<>(std::string_view call, std::string_view id)>;
  using ExecHandler = std::function<Result<ExecOutput>(
      const ExecRequest&, std::chrono::nanoseconds timeout, size_t limit)>;

  struct Container {
    std::string sandbox_id;
    ContainerPhase phase = ContainerPhase::kCreated;
    int pid = 0;
    std::optional<ExitRecord> exit;
    std::string spec_json;
    std::string record;
    bool terminal = false;
    bool stdin_open = false;
    std::string log_directory;
    std::string log_path;
    std::vector<bool> volumes;  // true: a directory
    std::vector<int> signals;
    std::vector<std::string> updates;  // resources, as given to Update
  };
  struct Sandbox {
    SandboxSpec spec;
    SandboxHandle handle;
    bool monitor_alive = true;
    bool hangs = false;
  };
  // The other side of a session: what the process or the container has, or the dialer's other end.
  struct Session {
    std::string kind;  // "exec", "attach" or "dialer"
    std::string sandbox_id;
    std::string container_id;
    std::string process_json;
    StreamsWanted wanted;
    os::Fd std_in;  // read end
    os::Fd std_out;
    os::Fd std_err;
    os::Fd terminal;
    os::Fd result;
    os::Fd dialer;
    os::Fd netns;
  };
  struct Call {
    std::string name;
    std::string id;
    bool operator==(const Call&) const = default;
  };

  FakeRuntime();

  // --- what a test decides
  void SetHook(Hook hook);
  // The nth call from now (1: the next) of `call` fails with `error`; with half_done it has its
  // effect first.
  void FailAt(std::string call, Error error, int nth = 1, bool half_done = false);
  void SetHandlers(std::vector<HandlerInfo> handlers);
  void SetExec(ExecHandler handler);
  // The oldest session that nobody has taken yet. Those that are not taken end with their container.
  std::optional<Session> TakeSession();
  // What the monitor does when the process of a session has ended.
  static void EndSession(Session& session, int exit_code);
  // The container does not end by this signal (default: every signal but those with no effect ends
  // it).
  void IgnoreSignal(const std::string& container_id, int signal);
  // The container's init ends by itself; the event goes out on the calling thread.
  void Exit(const std::string& container_id, int exit_code, bool oom_killed = false);
  // The monitor and every container of the pod are gone: exits are kept as records, MonitorLost
  // goes out.
  void LoseMonitor(const std::string& sandbox_id);
  // The monitor is found unanswered by the next Observe; then Answer lets it answer, and tells what it has to tell. In
  // between its containers may end (Exit), which nobody hears of. Calls work all the same: they are the monitor's.
  void HangMonitor(const std::string& sandbox_id);
  void Answer(const std::string& sandbox_id);
  // As after a reboot: nothing is left, no event goes out.
  void Reboot();
  // Wall time of the exit records from now on.
  void SetTime(int64_t wall_nanos);

  // --- what a test looks at
  std::map<std::string, Sandbox> Sandboxes() const;
  std::map<std::string, Container> Containers() const;
  bool Empty() const;  // neither sandbox nor container is left
  std::vector<Call> Calls() const;
  size_t CountCalls(std::string_view name) const;

  // --- Runtime
  void SetEventSink(EventSink sink) override;  // may be called again: a restarted daemon
  std::vector<HandlerInfo> Handlers() const override;
  Result<std::string> ResolveHandler(const std::string& handler) const override;
  Result<os::UserNs> MakeUserNs(const os::IdRange& range) override;  // memory files
  Result<os::Fd> OpenUserNs(const SandboxHandle& handle) override;
  Result<SandboxHandle> StartSandbox(const SandboxSpec& spec) override;
  Result<> StopSandbox(const std::string& sandbox_id) override;
  std::string RootfsPath(const std::string& sandbox_id,
                         const std::string& container_id) const override;
  std::string VolumePath(const std::string& sandbox_id, const std::string& container_id,
                         size_t index) const override;
  Result<int> Create(CreateRequest request) override;
  Result<> Start(const std::string& sandbox_id, const std::string& container_id,
                 Trace* trace = nullptr) override;
  Result<> Signal(const std::string& sandbox_id, const std::string& container_id,
                  int signal) override;
  Result<> Update(const std::string& sandbox_id, const std::string& container_id,
                  const std::string& resources_json,
                  const std::stop_token& cancelled = {}) override;
  Result<> KillAll(const std::string& sandbox_id, const std::string& container_id) override;
  Result<> Delete(const std::string& sandbox_id, const std::string& container_id) override;
  Result<ExecOutput> ExecSync(const ExecRequest& request, std::chrono::nanoseconds timeout,
                              size_t limit) override;
  Result<SessionStreams> StartExec(const ExecRequest& request,
                                   const StreamsWanted& wanted) override;
  Result<SessionStreams> Attach(const std::string& sandbox_id, const std::string& container_id,
                                const StreamsWanted& wanted) override;
  Result<os::Fd> OpenDialer(const std::string& sandbox_id, os::Fd netns) override;
  Result<> ReopenLog(const std::string& sandbox_id, const std::string& container_id,
                     const std::stop_token& cancelled = {}) override;
  Result<std::vector<SandboxObservation>> Observe() override;
  Result<RememberedPod> Remembered(const std::string& sandbox_id) override;

 private:
  struct Failure {
    std::string call;
    Error error;
    int countdown;
    bool half_done;
  };
  struct State {
    std::map<std::string, Sandbox> sandboxes;
    std::map<std::string, Container> containers;
    std::vector<Call> calls;
    std::vector<Failure> failures;
    std::set<std::pair<std::string, int>> ignored;
    std::vector<HandlerInfo> handlers;
    Hook hook;
    ExecHandler exec;
    EventSink sink;
    std::vector<Session> sessions;
    int next_pid = 100'000;
    int64_t now = 1'700'000'000'000'000'000;
  };
  // What is left of a call once the hook and FailAt had their say.
  using Late = std::optional<Error>;

  // Records the call; an error ends it now, a value in Late ends it after its effect.
  Result<Late> Enter(std::string_view call, const std::string& id) const;
  static Result<Container*> Find(State& state, const std::string& sandbox_id,
                                 const std::string& container_id);
  static SandboxObservation ObserveOne(const State& state, const std::string& id);
  void End(const std::string& container_id, ExitRecord exit);
  Result<SessionStreams> MakeSession(Session session, bool terminal, bool attach);

  mutable Guarded<State> state_;
};

}  // namespace berth::runtime
