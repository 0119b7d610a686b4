// SPDX-License-Identifier: Apache-2.0
// What answers are possible when many clients call at once. For every pod and container it keeps when something was
// first begun with it and when that was first answered with success; an answer is wrong when no order of the calls that
// overlap explains it. Owned by the race driver; any thread.
//
//      call begins                    call ends
//   ------|------------------------------|-------->   Was(x): x was answered before the call began
//    Was(x)         Could(x)                          Could(x): x was begun before the call ended
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "pod/types.h"

namespace berth::pod {

class RaceModel {
 public:
  enum Deed { kStart, kStop, kRemove, kLose, kDeeds };  // of a pod: no kStart

  struct Options {
    bool faults = false;  // calls may fail with "injected", and leave what could not be undone
  };
  explicit RaceModel(Options options) : options_(options) {}

  // A moment; goes with the call that begins now.
  uint64_t Now();
  // `id` is about to be used so, by this call.
  void Begin(Deed deed, const std::string& id);

  // What a call that began at `since` was answered. `gave_up`: its client may have.
  void RunAnswered(uint64_t since, const std::string& name, const Result<std::string>& answer,
                   bool gave_up);
  void CreateAnswered(uint64_t since, const std::string& pod, const std::string& name,
                      const Result<std::string>& answer, bool gave_up);
  void Answered(uint64_t since, Deed deed, const std::string& id, const Result<>& answer,
                bool gave_up);
  // Exec and UpdateContainerResources.
  void UseAnswered(uint64_t since, std::string_view what, const std::string& id,
                   const Result<>& answer, bool gave_up);
  void PodSeen(uint64_t since, const std::string& id, const Result<SandboxState>& state);
  void ContainerSeen(uint64_t since, const std::string& id, const Result<ContainerState>& state);
  // A whole list; ids that are not known are of calls that are not answered yet, or were abandoned.
  void PodsListed(uint64_t since, const std::map<std::string, SandboxState>& list);

  // Objects that may still be there, in the order in which they were answered.
  std::vector<std::string> Pods();
  std::vector<std::string> Containers();
  // What was wrong; at most 20 lines.
  std::vector<std::string> Mistakes();

 private:
  struct Thing {
    std::string key;  // of a container it begins with its pod's id
    std::string pod;  // a container's
    uint64_t known = 0;
    std::array<uint64_t, kDeeds> begun{}, done{};
    std::array<int, kDeeds> times{};  // how often it was begun
  };
  struct State {
    uint64_t now = 1;
    std::map<std::string, Thing> things;
    std::map<std::string, std::vector<std::string>> named;  // by key: ids, oldest first
    std::vector<std::string> pods, containers;              // that were not removed for certain
    std::vector<std::string> mistakes;
  };
  // With the pod's own deeds: what is done with a pod is done with its containers.
  static bool Could(const State& state, const Thing& thing, Deed deed);
  static bool Was(const State& state, const Thing& thing, Deed deed, uint64_t since);
  static bool Ended(const State& state, const Thing& thing);  // Could be stopped, removed or lost
  void Wrong(State& state, std::string_view what, std::string_view id, std::string_view answer);
  bool Excused(const Error& error, bool gave_up) const;
  void Adopt(State& state, const std::string& id, const std::string& key, const std::string& pod);
  static void Forget(State& state, const std::string& id);
  void NewId(State& state, uint64_t since, const std::string& id, const std::string& key,
             const std::string& pod);
  void NameTaken(State& state, uint64_t since, std::string_view what, const std::string& key,
                 const std::string& pod, const Error& error);
  bool RemovedMeanwhile(const State& state, const std::string& key, uint64_t since) const;

  const Options options_;
  Guarded<State> state_;
};

}  // namespace berth::pod
