// SPDX-License-Identifier: Apache-2.0
// Two calls on the same pod or container, met on purpose: the first is held at each of its steps in turn while the second
// runs, as far as it can. Whatever they answer, it must be one of what the two orders would give, and afterwards the
// pod can be removed whole.
#include <gtest/gtest.h>

#include <map>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Scene {
  World world;
  std::string pod, created, running;  // ids
};

// One call; the answer's code.
using Operation = std::function<Code(Scene&)>;
template <class T>
Code CodeOf(const Result<T>& result) {
  return result ? Code::kOk : result.error().code();
}

const std::map<std::string, Operation>& Operations() {
  static const std::map<std::string, Operation> all = {
      {"Run", [](Scene& s) { return CodeOf(s.world.Run("fresh")); }},
      {"StopPod", [](Scene& s) { return CodeOf(s.world.engine->StopPodSandbox({}, s.pod)); }},
      {"RemovePod", [](Scene& s) { return CodeOf(s.world.engine->RemovePodSandbox({}, s.pod)); }},
      {"Create", [](Scene& s) { return CodeOf(s.world.Create(s.pod, "another")); }},
      {"Start", [](Scene& s) { return CodeOf(s.world.engine->StartContainer({}, s.created)); }},
      {"Stop",
       [](Scene& s) { return CodeOf(s.world.engine->StopContainer({}, s.created, seconds(0))); }},
      {"Remove", [](Scene& s) { return CodeOf(s.world.engine->RemoveContainer({}, s.created)); }},
      {"StopRunning",
       [](Scene& s) { return CodeOf(s.world.engine->StopContainer({}, s.running, seconds(30))); }},
      {"RemoveRunning",
       [](Scene& s) { return CodeOf(s.world.engine->RemoveContainer({}, s.running)); }},
      {"Exec",
       [](Scene& s) {
         return CodeOf(s.world.engine->ExecSync({}, s.running, {"true"}, seconds(1)));
       }},
      {"Update",
       [](Scene& s) {
         LinuxResources resources;
         resources.cpu_shares = 512;
         return CodeOf(s.world.engine->UpdateContainerResources({}, s.running, resources));
       }},
  };
  return all;
}

// Holds the nth call below the engine, from whatever thread, until it is let go: until it is held, one operation runs
// alone, so the call is that one's or of a worker of its.
class Turnstile {
 public:
  void HoldAt(int nth) { nth_ = nth; }
  void Enter() {
    if (++count_ != nth_) return;
    auto state = state_.Lock();
    state->held = true;
    state_.NotifyAll();
    state_.Wait(state, [](State& s) { return s.open; });
  }
  void End() {
    state_.Lock()->over = true;
    state_.NotifyAll();
  }
  // False: it has ended before its nth call.
  bool WaitHeld() {
    auto state = state_.Lock();
    state_.Wait(state, [](State& s) { return s.held || s.over; });
    return state->held;
  }
  void Open() {
    state_.Lock()->open = true;
    state_.NotifyAll();
  }

 private:
  struct State {
    bool held = false, over = false, open = false;
  };
  std::atomic<int> count_{0};
  int nth_ = 0;
  Guarded<State> state_;
};

// False: there is no nth step.
bool Meet(const std::string& first, const std::string& second, int nth,
          std::map<std::string, int>& codes) {
  SCOPED_TRACE(StrCat(first, " held at step ", nth, ", ", second));
  Scene scene;
  scene.pod = *scene.world.Run();
  scene.created = *scene.world.Create(scene.pod, "created");
  scene.running = *scene.world.Create(scene.pod, "running");
  EXPECT_TRUE(scene.world.engine->StartContainer({}, scene.running));
  Turnstile turnstile;
  turnstile.HoldAt(nth);
  scene.world.OnCall([&](const std::string&) { turnstile.Enter(); });
  Code one{}, two{};
  std::thread runs_first([&] {
    one = Operations().at(first)(scene);
    turnstile.End();
  });
  const bool held = turnstile.WaitHeld();
  std::atomic<bool> done{false};
  std::thread runs_second([&] {
    two = Operations().at(second)(scene);
    done = true;
  });
  for (int i = 0; i < 15 && !done; ++i) std::this_thread::sleep_for(milliseconds(1));
  turnstile.Open();
  runs_first.join();
  runs_second.join();
  codes[StrCat(CodeName(one), " ", second, ":", CodeName(two))]++;
  for (Code code : {one, two}) {
    const bool known = code == Code::kOk || code == Code::kFailedPrecondition ||
                       code == Code::kNotFound || code == Code::kAlreadyExists ||
                       code == Code::kUnavailable;
    EXPECT_TRUE(known) << CodeName(code);
  }
  for (const auto& [operation, code] : {std::pair(first, one), std::pair(second, two)}) {
    // These have nothing that could be in their way.
    const bool always =
        operation.starts_with("Stop") || operation == "RemovePod" || operation == "RemoveRunning";
    EXPECT_TRUE(!always || code == Code::kOk) << operation << ": " << CodeName(code);
  }
  for (const SandboxStatus& pod : scene.world.engine->ListPodSandbox({})) {
    EXPECT_TRUE(scene.world.engine->StopPodSandbox({}, pod.id));
    EXPECT_TRUE(scene.world.engine->RemovePodSandbox({}, pod.id));
  }
  scene.world.ExpectNothingLeft();
  return held;
}

class EngineMatrix : public ::testing::TestWithParam<std::string> {};

TEST_P(EngineMatrix, MeetsEveryOtherCallAtEachOfItsSteps) {
  std::map<std::string, int> codes;
  int meetings = 0;
  for (const auto& [second, operation] : Operations()) {
    int nth = 1;
    while (nth < 40 && Meet(GetParam(), second, nth, codes)) ++nth, ++meetings;
  }
  std::printf("             %s: %d meetings, %zu outcomes\n", GetParam().c_str(), meetings,
              codes.size());
}

INSTANTIATE_TEST_SUITE_P(All, EngineMatrix,
                         ::testing::Values("Run", "StopPod", "RemovePod", "Create", "Start", "Stop",
                                           "Remove", "StopRunning", "RemoveRunning", "Exec",
                                           "Update"),
                         [](const auto& made_of) { return made_of.param; });

// A pod of many containers that ignore their stop signal and have an hour: neither another's stop, nor a shorter one of
// the same, nor the pod's has to wait for that.
TEST(EngineMatrix, HourLongGracesHoldUpNobodyElse) {
  World world;
  const std::string pod = *world.Run();
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) {
    ids.push_back(*world.Create(pod, StrCat("c", i)));
    ASSERT_TRUE(world.engine->StartContainer({}, ids.back()));
    world.runtime.IgnoreSignal(ids.back(), SIGTERM);
  }
  const auto [other_pod, other] = [&] {
    const std::string id = *world.Run("other");
    return std::pair(id, *world.Create(id));
  }();
  ASSERT_TRUE(world.engine->StartContainer({}, other));
  std::vector<std::thread> waiting;
  std::atomic<int> ended{0};
  for (const std::string& id : ids) {
    waiting.emplace_back([&world, &ended, id] {
      EXPECT_TRUE(world.engine->StopContainer({}, id, seconds(3600)));
      ++ended;
    });
  }
  EXPECT_TRUE(world.Eventually([&] { return world.runtime.CountCalls("Signal") == ids.size(); }));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(world.engine->StopContainer({}, other, seconds(30)));
  EXPECT_TRUE(world.engine->StopContainer({}, ids[0], seconds(0)));
  EXPECT_TRUE(world.engine->RemovePodSandbox({}, other_pod));
  EXPECT_EQ(world.runtime.CountCalls("Signal"), ids.size() + 1) << "the stop signal is sent once";
  EXPECT_LE(ended, 1);
  EXPECT_TRUE(world.engine->StopPodSandbox({}, pod));
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(10));
  for (std::thread& thread : waiting) thread.join();
  EXPECT_TRUE(world.engine->RemovePodSandbox({}, pod));
  world.ExpectNothingLeft();
}

// Two calls of one request, the first of them held at one step until the second one's deadline has passed; and then a third.
std::string Thrice(World& world, const std::string& step,
                   const std::function<Result<std::string>(const Call&)>& call) {
  std::atomic<bool> reached{false}, open{false}, late_over{false};
  world.OnCall([&, step](const std::string& name) {
    if (name != step) return;
    reached = true;
    while (!open) std::this_thread::sleep_for(milliseconds(1));
  });
  Result<std::string> first = Error(Code::kAborted, ""), late = Error(Code::kAborted, "");
  std::thread in_flight([&] { first = call({}); });
  EXPECT_TRUE(world.Eventually([&] { return reached.load(); }));
  Call hasty;
  hasty.deadline = world.clock.Monotonic() + seconds(2);
  std::thread joins([&] {
    late = call(hasty);
    late_over = true;
  });
  EXPECT_TRUE(world.Eventually([&] {
    world.clock.Advance(seconds(1));
    return late_over.load();
  }));
  joins.join();
  EXPECT_FALSE(late);
  if (!late) ExpectError(late.error(), Code::kDeadlineExceeded, "the client's deadline passed");
  std::thread opens([&] {
    std::this_thread::sleep_for(milliseconds(20));
    open = true;
  });
  const Result<std::string> again = call({});
  in_flight.join();
  opens.join();
  EXPECT_TRUE(first);
  EXPECT_EQ(again.value_or("none"), first.value_or("no"));
  return first.value_or("");
}

// The client's deadline passes, its call goes on; the kubelet's next try gets what that makes.
TEST(EngineMatrix, ARetryAfterADeadlineGetsTheIdOfTheCallInFlight) {
  World world;
  const std::string pod = Thrice(world, "network.Attach", [&](const Call& call) {
    return world.engine->RunPodSandbox(call, MinimalSandboxConfig(), "");
  });
  Thrice(world, "runtime.Create", [&](const Call& call) {
    return world.engine->CreateContainer(call, pod, MinimalContainerConfig());
  });
  EXPECT_EQ(world.runtime.CountCalls("StartSandbox"), 1u);
  EXPECT_EQ(world.runtime.CountCalls("Create"), 1u);
}

}  // namespace
}  // namespace berth::pod
