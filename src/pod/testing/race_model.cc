// SPDX-License-Identifier: Apache-2.0
#include "pod/testing/race_model.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::pod {

namespace {

constexpr size_t kMostMistakes = 20;

std::string Show(const Error& error) {
  return StrCat(CodeName(error.code()), ": ", error.message());
}

// "... exists as container <id> ...": who has the name.
std::string IdIn(std::string_view message) {
  constexpr size_t kId = 64;
  const size_t at = message.find(" exists as ");
  if (at == std::string_view::npos) return {};
  for (std::string_view word : Split(message.substr(at), ' '))
    if (word.size() == kId) return std::string(word);
  return {};
}

}  // namespace

uint64_t RaceModel::Now() { return ++state_.Lock()->now; }

void RaceModel::Begin(Deed deed, const std::string& id) {
  auto state = state_.Lock();
  Thing& thing = state->things[id];
  // A start that fails ends the container.
  if (options_.faults && deed == kStart && thing.begun[kStop] == 0)
    thing.begun[kStop] = ++state->now;
  ++thing.times[deed];
  if (thing.begun[deed] == 0) thing.begun[deed] = ++state->now;
}

bool RaceModel::Could(const State& state, const Thing& thing, Deed deed) {
  if (thing.begun[deed] != 0) return true;
  if (thing.pod.empty() || deed == kStart) return false;
  const auto pod = state.things.find(thing.pod);
  return pod != state.things.end() && Could(state, pod->second, deed);
}

bool RaceModel::Was(const State& state, const Thing& thing, Deed deed, uint64_t since) {
  if (thing.done[deed] != 0 && thing.done[deed] < since) return true;
  if (thing.pod.empty() || deed == kStart) return false;
  const auto pod = state.things.find(thing.pod);
  return pod != state.things.end() && Was(state, pod->second, deed, since);
}

bool RaceModel::Ended(const State& state, const Thing& thing) {
  return Could(state, thing, kStop) || Could(state, thing, kRemove) || Could(state, thing, kLose);
}

void RaceModel::Wrong(State& state, std::string_view what, std::string_view id,
                      std::string_view answer) {
  if (state.mistakes.size() >= kMostMistakes) return;
  std::string line = StrCat(what, " ", id, ": ", answer);
  const auto found = state.things.find(std::string(id));
  if (found != state.things.end()) {
    constexpr std::string_view kNames[] = {"start", "stop", "remove", "lose"};
    for (size_t deed = 0; deed < kDeeds; ++deed)
      line +=
          StrCat("; ", kNames[deed], " ", found->second.begun[deed], "-", found->second.done[deed]);
  }
  state.mistakes.push_back(std::move(line));
}

bool RaceModel::Excused(const Error& error, bool gave_up) const {
  if (gave_up && (error.code() == Code::kCancelled || error.code() == Code::kDeadlineExceeded))
    return true;
  return options_.faults && error.message().find("injected") != std::string::npos;
}

void RaceModel::Adopt(State& state, const std::string& id, const std::string& key,
                      const std::string& pod) {
  Thing& thing = state.things[id];
  if (thing.known != 0) return;
  thing.key = key;
  thing.pod = pod;
  thing.known = ++state.now;
  state.named[key].push_back(id);
  if (pod.empty()) {
    state.pods.push_back(id);
  } else if (state.things[pod].done[kRemove] == 0) {
    state.containers.push_back(id);
  }
}

void RaceModel::Forget(State& state, const std::string& id) {
  std::erase(state.pods, id);
  std::erase_if(state.containers, [&](const std::string& container) {
    return container == id || state.things[container].pod == id;
  });
}

// One name, one object: every other one of that name must be on its way out, or this one, which another call may have
// been given and removed by now.
void RaceModel::NewId(State& state, uint64_t since, const std::string& id, const std::string& key,
                      const std::string& pod) {
  const auto known = state.things.find(id);
  const bool going = known != state.things.end() && Could(state, known->second, kRemove);
  for (const std::string& other : state.named[key]) {
    if (going || other == id || Could(state, state.things[other], kRemove)) continue;
    Wrong(state, StrCat("a second object of the name ", Quote(key), " beside ", other, ":"), id,
          "ok");
  }
  if (known != state.things.end() && known->second.known != 0) {
    for (Deed deed : {kStop, kRemove})
      if (Was(state, known->second, deed, since))
        Wrong(state, "an id that was stopped or removed", id, "ok");
    return;
  }
  Adopt(state, id, key, pod);
}

void RaceModel::NameTaken(State& state, uint64_t since, std::string_view what,
                          const std::string& key, const std::string& pod, const Error& error) {
  const std::string id = IdIn(error.message());
  const auto found = state.things.find(id);
  if (found == state.things.end() || found->second.known == 0) {
    // Another call has made it and is not answered yet, and its pod is stopped already.
    if (!pod.empty() && !id.empty() && Ended(state, state.things[pod])) return;
    // Or a call failed and could not undo everything.
    if (!options_.faults || id.empty()) return Wrong(state, what, key, Show(error));
    Adopt(state, id, key, pod);
    Thing& left = state.things[id];
    left.begun[kStop] = left.known;
    return;
  }
  const Thing& thing = found->second;
  const bool past = Ended(state, thing) || (!pod.empty() && Could(state, thing, kStart));
  if (!past || Was(state, thing, kRemove, since)) Wrong(state, what, id, Show(error));
}

bool RaceModel::RemovedMeanwhile(const State& state, const std::string& key, uint64_t since) const {
  const auto named = state.named.find(key);
  if (named == state.named.end()) return false;
  return std::any_of(named->second.begin(), named->second.end(), [&](const std::string& id) {
    const Thing& thing = state.things.at(id);
    return Could(state, thing, kRemove) && !Was(state, thing, kRemove, since);
  });
}

void RaceModel::RunAnswered(uint64_t since, const std::string& name,
                            const Result<std::string>& answer, bool gave_up) {
  auto state = state_.Lock();
  if (answer) return NewId(*state, since, *answer, name, "");
  const Error& error = answer.error();
  if (Excused(error, gave_up)) return;
  if (error.code() == Code::kAlreadyExists) return NameTaken(*state, since, "run", name, "", error);
  if (error.code() == Code::kUnavailable && RemovedMeanwhile(*state, name, since)) return;
  Wrong(*state, "run", name, Show(error));
}

void RaceModel::CreateAnswered(uint64_t since, const std::string& pod, const std::string& name,
                               const Result<std::string>& answer, bool gave_up) {
  auto state = state_.Lock();
  const std::string key = StrCat(pod, "/", name);
  const Thing& home = state->things[pod];
  if (answer) {
    if (Was(*state, home, kStop, since) || Was(*state, home, kRemove, since))
      Wrong(*state, "create in a pod that was stopped", pod, "ok");
    return NewId(*state, since, *answer, key, pod);
  }
  const Error& error = answer.error();
  if (Excused(error, gave_up)) return;
  if (error.code() == Code::kAlreadyExists)
    return NameTaken(*state, since, "create", key, pod, error);
  if (error.code() == Code::kFailedPrecondition && Ended(*state, home)) return;
  if (error.code() == Code::kNotFound && Could(*state, home, kRemove)) return;
  if (error.code() == Code::kUnavailable &&
      (Could(*state, home, kLose) || RemovedMeanwhile(*state, key, since)))
    return;
  Wrong(*state, "create", key, Show(error));
}

void RaceModel::Answered(uint64_t since, Deed deed, const std::string& id, const Result<>& answer,
                         bool gave_up) {
  auto state = state_.Lock();
  Thing& thing = state->things[id];
  if (answer) {
    if (deed == kStart && (Was(*state, thing, kStop, since) || Was(*state, thing, kRemove, since)))
      Wrong(*state, "start of what was stopped", id, "ok");
    if (thing.done[deed] == 0) thing.done[deed] = ++state->now;
    if (deed == kRemove && thing.done[kStop] == 0) thing.done[kStop] = state->now;
    if (deed == kRemove) Forget(*state, id);
    return;
  }
  const Error& error = answer.error();
  if (Excused(error, gave_up)) return;
  if (Could(*state, thing, kLose) && error.code() == Code::kUnavailable) return;
  const bool ended = Ended(*state, thing);
  const bool precondition = error.code() == Code::kFailedPrecondition;
  if (deed == kStart && precondition && (ended || thing.times[kStart] > 1)) return;
  if (deed == kStart && error.code() == Code::kNotFound && Could(*state, thing, kRemove)) return;
  if (deed == kRemove && !thing.pod.empty() && precondition && Could(*state, thing, kStart)) return;
  Wrong(*state, deed == kStart ? "start" : deed == kStop ? "stop" : "remove", id, Show(error));
}

void RaceModel::UseAnswered(uint64_t since, std::string_view what, const std::string& id,
                            const Result<>& answer, bool gave_up) {
  auto state = state_.Lock();
  const Thing& thing = state->things[id];
  if (answer) {
    const bool over = Was(*state, thing, kStop, since) || Was(*state, thing, kRemove, since);
    if (over || (what == "exec" && !Could(*state, thing, kStart))) Wrong(*state, what, id, "ok");
    return;
  }
  const Error& error = answer.error();
  if (Excused(error, gave_up)) return;
  const bool ended = Ended(*state, thing);
  const bool running = Was(*state, thing, kStart, since) || what != "exec";
  if (error.code() == Code::kFailedPrecondition && (ended || !running)) return;
  if (error.code() == Code::kNotFound && Could(*state, thing, kRemove)) return;
  if (error.code() == Code::kUnavailable && ended) return;
  Wrong(*state, what, id, Show(error));
}

void RaceModel::PodSeen(uint64_t since, const std::string& id, const Result<SandboxState>& seen) {
  auto state = state_.Lock();
  const Thing& thing = state->things[id];
  if (!seen) {
    if (seen.error().code() != Code::kNotFound || !Could(*state, thing, kRemove))
      Wrong(*state, "state of pod", id, Show(seen.error()));
    return;
  }
  const bool removed = Was(*state, thing, kRemove, since);
  if (removed) return Wrong(*state, "pod is there", id, "although it was removed");
  if (*seen == SandboxState::kReady && Was(*state, thing, kStop, since))
    Wrong(*state, "pod is ready", id, "although it was stopped");
  if (*seen == SandboxState::kNotReady && !Ended(*state, thing))
    Wrong(*state, "pod is not ready", id, "although nobody has stopped it");
}

void RaceModel::ContainerSeen(uint64_t since, const std::string& id,
                              const Result<ContainerState>& seen) {
  auto state = state_.Lock();
  const Thing& thing = state->things[id];
  if (!seen) {
    if (seen.error().code() != Code::kNotFound || !Could(*state, thing, kRemove))
      Wrong(*state, "state of container", id, Show(seen.error()));
    return;
  }
  if (Was(*state, thing, kRemove, since))
    return Wrong(*state, "container is there", id, "although it was removed");
  const bool stopped = Was(*state, thing, kStop, since);
  bool possible = false;
  switch (*seen) {
    case ContainerState::kCreated:
      possible = !stopped && !Was(*state, thing, kStart, since);
      break;
    case ContainerState::kRunning:
      possible = !stopped && Could(*state, thing, kStart);
      break;
    case ContainerState::kExited:
      possible = Ended(*state, thing);
      break;
    case ContainerState::kUnknown:
      possible = Could(*state, thing, kLose);
  }
  constexpr std::string_view kStates[] = {"created", "running", "exited", "unknown"};
  if (!possible) Wrong(*state, "container", id, StrCat("is ", kStates[static_cast<int>(*seen)]));
}

void RaceModel::PodsListed(uint64_t since, const std::map<std::string, SandboxState>& list) {
  for (const auto& [id, seen] : list) {
    if (state_.Lock()->things[id].known != 0) PodSeen(since, id, seen);
  }
  auto state = state_.Lock();
  for (const std::string& id : state->pods) {
    const Thing& thing = state->things[id];
    if (thing.known < since && !list.contains(id) && !Could(*state, thing, kRemove))
      Wrong(*state, "pod is not in the list:", id, "");
  }
}

std::vector<std::string> RaceModel::Pods() { return state_.Lock()->pods; }
std::vector<std::string> RaceModel::Containers() { return state_.Lock()->containers; }
std::vector<std::string> RaceModel::Mistakes() { return state_.Lock()->mistakes; }

}  // namespace berth::pod
