// SPDX-License-Identifier: Apache-2.0
// Clients that do what kubelets do, and what they should not, to few names at once, each answer judged by a RaceModel.
// Owned by a test; Play blocks.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "pod/testing/race_model.h"
#include "pod/testing/race_target.h"

namespace berth::pod {

struct RaceOptions {
  int clients = 16;
  int pods = 5;        // names
  int containers = 3;  // names in each pod
  unsigned seed = 1;
  std::chrono::milliseconds time{1000};
  bool give_up = true;        // some clients do
  bool lose_monitors = true;  // where the target can
  bool faults = false;        // of the target's making: calls may fail with "injected"
  std::chrono::seconds long_grace{3600};
};

struct RaceOutcome {
  uint64_t calls = 0;
  uint64_t pods = 0;  // made
  std::vector<std::string> mistakes;
};

class RaceDriver {
 public:
  RaceDriver(RaceTarget& target, const RaceOptions& options)
      : target_(target), options_(options), model_({options.faults}) {}

  // Then removes everything that is there, without faults if `heal` takes them away.
  RaceOutcome Play(const std::function<void()>& heal = {});

 private:
  using Random = std::minstd_rand;
  using Patience = RaceTarget::Patience;
  using Deed = RaceModel::Deed;

  void Client(unsigned number, std::chrono::steady_clock::time_point end);
  void Step(Random& random);
  void Run(Random& random);
  void Create(Random& random);
  void DoToPod(Random& random);
  void DoToContainer(Random& random);
  void StopPod(const std::string& id, Patience patience);
  void RemovePod(const std::string& id, Patience patience);
  void Stop(const std::string& id, std::chrono::seconds grace, Patience patience);
  void Remove(const std::string& id, Patience patience);
  void Start(const std::string& id, Patience patience);
  void SeePod(const std::string& id);
  void SeeContainer(const std::string& id);
  void SeeLists();
  void ExpectStopped(const std::string& pod);
  void RemoveAll();
  Patience SomePatience(Random& random) const;
  static std::string Pick(const std::vector<std::string>& from, Random& random);

  RaceTarget& target_;
  const RaceOptions options_;
  RaceModel model_;
  std::atomic<uint64_t> calls_{0}, pods_{0};
  Guarded<std::vector<std::string>> unfinished_;  // what RemoveAll could not do
};

}  // namespace berth::pod
