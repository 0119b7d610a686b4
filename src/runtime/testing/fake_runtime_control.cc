// SPDX-License-Identifier: Apache-2.0
// The part of FakeRuntime that tests drive and look at.
#include <signal.h>

#include <algorithm>

#include "runtime/testing/fake_runtime.h"

namespace berth::runtime {

FakeRuntime::FakeRuntime() {
  state_.Lock()->handlers = {
      HandlerInfo{.name = "crun", .is_default = true, .version = "fake", .warning = ""}};
}

void FakeRuntime::SetHook(Hook hook) { state_.Lock()->hook = std::move(hook); }
void FakeRuntime::SetHandlers(std::vector<HandlerInfo> handlers) {
  state_.Lock()->handlers = std::move(handlers);
}
void FakeRuntime::SetExec(ExecHandler handler) { state_.Lock()->exec = std::move(handler); }
void FakeRuntime::SetTime(int64_t wall_nanos) { state_.Lock()->now = wall_nanos; }
void FakeRuntime::SetEventSink(EventSink sink) { state_.Lock()->sink = std::move(sink); }

void FakeRuntime::FailAt(std::string call, Error error, int nth, bool half_done) {
  state_.Lock()->failures.push_back({std::move(call), std::move(error), nth, half_done});
}

void FakeRuntime::IgnoreSignal(const std::string& container_id, int signal) {
  state_.Lock()->ignored.insert({container_id, signal});
}

std::map<std::string, FakeRuntime::Sandbox> FakeRuntime::Sandboxes() const {
  return state_.Lock()->sandboxes;
}
std::map<std::string, FakeRuntime::Container> FakeRuntime::Containers() const {
  return state_.Lock()->containers;
}
bool FakeRuntime::Empty() const {
  auto state = state_.Lock();
  return state->sandboxes.empty() && state->containers.empty();
}
std::vector<FakeRuntime::Call> FakeRuntime::Calls() const { return state_.Lock()->calls; }
size_t FakeRuntime::CountCalls(std::string_view name) const {
  auto state = state_.Lock();
  return static_cast<size_t>(std::count_if(state->calls.begin(), state->calls.end(),
                                           [&](const Call& call) { return call.name == name; }));
}

void FakeRuntime::End(const std::string& container_id, ExitRecord exit) {
  ContainerExited event;
  std::function<void(ContainerExited)> exited;
  {
    auto state = state_.Lock();
    auto it = state->containers.find(container_id);
    if (it == state->containers.end() || it->second.phase == ContainerPhase::kExited) return;
    exit.finished_at = state->now;
    it->second.phase = ContainerPhase::kExited;
    it->second.exit = exit;
    event = {it->second.sandbox_id, container_id, exit};
    auto sandbox = state->sandboxes.find(it->second.sandbox_id);
    const bool hangs = sandbox != state->sandboxes.end() && sandbox->second.hangs;
    if (!hangs) exited = state->sink.exited;
    for (Session& session : state->sessions)
      if (session.container_id == container_id) EndSession(session, exit.exit_code);
    std::erase_if(state->sessions,
                  [&](const Session& s) { return s.container_id == container_id; });
  }
  if (exited) exited(std::move(event));
}

void FakeRuntime::Exit(const std::string& container_id, int exit_code, bool oom_killed) {
  ExitRecord exit;
  exit.exit_code = exit_code;
  exit.signal = exit_code > 128 ? exit_code - 128 : 0;
  exit.oom_killed = oom_killed;
  End(container_id, exit);
}

void FakeRuntime::LoseMonitor(const std::string& sandbox_id) {
  std::function<void(MonitorLost)> lost;
  {
    auto state = state_.Lock();
    auto it = state->sandboxes.find(sandbox_id);
    if (it == state->sandboxes.end()) return;
    it->second.monitor_alive = false;
    // Nobody saw these end, so there is no exit record of them.
    for (auto& [id, container] : state->containers) {
      if (container.sandbox_id == sandbox_id) container.phase = ContainerPhase::kExited;
    }
    lost = state->sink.lost;
  }
  if (lost) lost(MonitorLost{sandbox_id});
}

void FakeRuntime::HangMonitor(const std::string& sandbox_id) {
  state_.Lock()->sandboxes.at(sandbox_id).hangs = true;
}

void FakeRuntime::Answer(const std::string& sandbox_id) {
  EventSink sink;
  SandboxObservation seen;
  {
    auto state = state_.Lock();
    state->sandboxes.at(sandbox_id).hangs = false;
    seen = ObserveOne(*state, sandbox_id);
    sink = state->sink;
  }
  for (const ContainerObservation& one : seen.containers)
    if (one.exit) sink.exited({sandbox_id, one.container_id, *one.exit});
  sink.answered({std::move(seen)});
}

void FakeRuntime::Reboot() {
  auto state = state_.Lock();
  state->sandboxes.clear();
  state->containers.clear();
}

}  // namespace berth::runtime
