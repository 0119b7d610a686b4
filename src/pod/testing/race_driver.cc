// SPDX-License-Identifier: Apache-2.0
#include "pod/testing/race_driver.h"

#include <thread>

#include "base/strings.h"

namespace berth::pod {

using std::chrono::seconds;
using std::chrono::steady_clock;

RaceOutcome RaceDriver::Play(const std::function<void()>& heal) {
  const auto end = steady_clock::now() + options_.time;
  std::vector<std::thread> clients;
  for (int c = 0; c < options_.clients; ++c)
    clients.emplace_back([this, c, end] { Client(static_cast<unsigned>(c), end); });
  for (std::thread& client : clients) client.join();
  if (heal) heal();
  RemoveAll();
  RaceOutcome outcome{calls_, pods_, model_.Mistakes()};
  for (const std::string& line : *unfinished_.Lock()) outcome.mistakes.push_back(line);
  return outcome;
}

void RaceDriver::Client(unsigned number, steady_clock::time_point end) {
  Random random(options_.seed * 1000 + number + 1);
  while (steady_clock::now() < end) {
    Step(random);
    ++calls_;
  }
}

std::string RaceDriver::Pick(const std::vector<std::string>& from, Random& random) {
  return from.empty() ? std::string() : from[random() % from.size()];
}

RaceTarget::Patience RaceDriver::SomePatience(Random& random) const {
  if (!options_.give_up || random() % 6 != 0) return Patience(0);
  return Patience(1 + random() % 3000);
}

void RaceDriver::Step(Random& random) {
  switch (random() % 8) {
    case 0:
      return Run(random);
    case 1:
    case 2:
      return Create(random);
    case 3:
      return DoToPod(random);
    case 4:
      return SeeLists();
    default:
      return DoToContainer(random);
  }
}

void RaceDriver::Run(Random& random) {
  const std::string name = StrCat("race-", random() % static_cast<unsigned>(options_.pods));
  Patience patience = SomePatience(random);
  for (;;) {
    const uint64_t since = model_.Now();
    const Result<std::string> id = target_.Run(name, patience);
    model_.RunAnswered(since, name, id, patience.count() != 0);
    if (id) {
      ++pods_;
      return SeePod(*id);
    }
    // As the kubelet: after a deadline the same again, which gets the pod that the first call has made.
    if (patience.count() == 0) return;
    patience = Patience(0);
  }
}

void RaceDriver::Create(Random& random) {
  const std::string pod = Pick(model_.Pods(), random);
  if (pod.empty()) return;
  const std::string name = StrCat("c", random() % static_cast<unsigned>(options_.containers));
  Patience patience = SomePatience(random);
  for (;;) {
    const uint64_t since = model_.Now();
    const Result<std::string> id = target_.Create(pod, name, patience);
    model_.CreateAnswered(since, pod, name, id, patience.count() != 0);
    if (id) {
      SeeContainer(*id);
      if (random() % 2) Start(*id, SomePatience(random));
      return;
    }
    if (patience.count() == 0) return;
    patience = Patience(0);
  }
}

void RaceDriver::DoToPod(Random& random) {
  const std::string pod = Pick(model_.Pods(), random);
  if (pod.empty()) return;
  switch (random() % 8) {
    case 0:
    case 1:
      return StopPod(pod, SomePatience(random));
    case 2:
    case 3:
      return RemovePod(pod, SomePatience(random));
    case 4:
      if (!options_.lose_monitors || random() % 4 != 0) return;
      model_.Begin(RaceModel::kLose, pod);
      target_.LoseMonitor(pod);
      return;
    default:
      return SeePod(pod);
  }
}

void RaceDriver::DoToContainer(Random& random) {
  const std::string id = Pick(model_.Containers(), random);
  if (id.empty()) return;
  const Patience patience = SomePatience(random);
  switch (random() % 10) {
    case 0:
    case 1:
      return Start(id, patience);
    case 2:
      // Mostly one that gives up: the grace goes on, and another stop must be able to shorten it.
      if (patience.count() != 0) return Stop(id, options_.long_grace, patience);
      return Stop(id, seconds(random() % 2), patience);
    case 3:
      return Remove(id, patience);
    case 4:
      model_.Begin(RaceModel::kStop, id);
      return target_.Exit(id);
    case 5:
    case 6: {
      const uint64_t since = model_.Now();
      return model_.UseAnswered(since, "exec", id, target_.Exec(id, patience),
                                patience.count() != 0);
    }
    case 7: {
      const uint64_t since = model_.Now();
      return model_.UseAnswered(since, "update", id, target_.Update(id, patience),
                                patience.count() != 0);
    }
    default:
      return SeeContainer(id);
  }
}

void RaceDriver::Start(const std::string& id, Patience patience) {
  model_.Begin(RaceModel::kStart, id);
  const uint64_t since = model_.Now();
  model_.Answered(since, RaceModel::kStart, id, target_.Start(id, patience), patience.count() != 0);
  SeeContainer(id);
}

void RaceDriver::Stop(const std::string& id, seconds grace, Patience patience) {
  model_.Begin(RaceModel::kStop, id);
  const uint64_t since = model_.Now();
  model_.Answered(since, RaceModel::kStop, id, target_.Stop(id, grace, patience),
                  patience.count() != 0);
  SeeContainer(id);
}

void RaceDriver::Remove(const std::string& id, Patience patience) {
  model_.Begin(RaceModel::kRemove, id);
  model_.Begin(RaceModel::kStop, id);
  const uint64_t since = model_.Now();
  model_.Answered(since, RaceModel::kRemove, id, target_.Remove(id, patience),
                  patience.count() != 0);
  SeeContainer(id);
}

void RaceDriver::StopPod(const std::string& id, Patience patience) {
  model_.Begin(RaceModel::kStop, id);
  const uint64_t since = model_.Now();
  const Result<> stopped = target_.StopPod(id, patience);
  model_.Answered(since, RaceModel::kStop, id, stopped, patience.count() != 0);
  SeePod(id);
  if (stopped) ExpectStopped(id);
}

void RaceDriver::RemovePod(const std::string& id, Patience patience) {
  model_.Begin(RaceModel::kRemove, id);
  model_.Begin(RaceModel::kStop, id);
  const uint64_t since = model_.Now();
  model_.Answered(since, RaceModel::kRemove, id, target_.RemovePod(id, patience),
                  patience.count() != 0);
  SeePod(id);
}

void RaceDriver::SeePod(const std::string& id) {
  const uint64_t since = model_.Now();
  model_.PodSeen(since, id, target_.PodState(id));
}

void RaceDriver::SeeContainer(const std::string& id) {
  const uint64_t since = model_.Now();
  model_.ContainerSeen(since, id, target_.StateOf(id));
}

void RaceDriver::SeeLists() {
  const uint64_t since = model_.Now();
  std::map<std::string, SandboxState> pods;
  for (const RaceTarget::Listed& pod : target_.ListPods())
    pods[pod.id] = pod.ready ? SandboxState::kReady : SandboxState::kNotReady;
  model_.PodsListed(since, pods);
}

// Rule: after StopPodSandbox nothing in the pod runs or will run.
void RaceDriver::ExpectStopped(const std::string& pod) {
  for (const ContainerStatus& container : target_.ListContainers(pod)) {
    if (container.state == ContainerState::kExited) continue;
    unfinished_.Lock()->push_back(StrCat("container ", container.id, " is in state ",
                                         static_cast<int>(container.state), " in pod ", pod,
                                         ", which was stopped"));
  }
}

void RaceDriver::RemoveAll() {
  for (const RaceTarget::Listed& pod : target_.ListPods()) {
    for (const auto& removed :
         {target_.StopPod(pod.id, Patience(0)), target_.RemovePod(pod.id, Patience(0))}) {
      if (!removed)
        unfinished_.Lock()->push_back(
            StrCat("at the end: ", pod.id, ": ", removed.error().message()));
    }
  }
  for (const RaceTarget::Listed& pod : target_.ListPods())
    unfinished_.Lock()->push_back(StrCat("pod ", pod.id, " is left"));
}

}  // namespace berth::pod
