// SPDX-License-Identifier: Apache-2.0
// 16 clients against the engine over fakes, every answer judged by a model. BERTH_RACE_SECONDS plays each for so long
// (2 s), BERTH_RACE_SEED begins with that seed. Meant for the thread and the address sanitizer.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/log.h"
#include "pod/testing/engine_target.h"
#include "pod/testing/race_driver.h"

namespace berth::pod {
namespace {

int64_t Setting(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr) return otherwise;
  return ParseInt(text, 0, 1'000'000'000, name).value_or(otherwise);
}

RaceOptions Options() {
  RaceOptions options;
  options.seed = static_cast<unsigned>(Setting(
      "BERTH_RACE_SEED", std::chrono::steady_clock::now().time_since_epoch().count() % 100'000));
  options.time = std::chrono::seconds(Setting("BERTH_RACE_SECONDS", 2));
  return options;
}

// What is told of each object: created first, once; started once at most, not after its end; deleted last, once.
class EventOrder {
 public:
  void Add(const LifecycleEvent& event) {
    auto state = state_.Lock();
    std::string& told = state->told[event.container_id];
    const char letter = "CSXD"[static_cast<int>(event.type)];
    const bool right = told.empty()
                           ? letter == 'C'
                           : letter != 'C' && (letter != 'S' || told == "C") && told.back() != 'D';
    if (!right || event.created_at <= state->last)
      state->wrong.push_back(StrCat(event.container_id, ": ", told, " and then ", letter));
    told += letter;
    state->last = event.created_at;
    if (letter == 'D') ++state->deleted;
  }
  std::vector<std::string> Wrong() { return state_.Lock()->wrong; }
  // Objects that were told of and not told to be deleted.
  size_t Left() {
    auto state = state_.Lock();
    return state->told.size() - state->deleted;
  }

 private:
  struct State {
    std::map<std::string, std::string> told;
    std::vector<std::string> wrong;
    size_t deleted = 0;
    int64_t last = 0;
  };
  Guarded<State> state_;
};

// Thousands of monitors are lost on purpose.
class Silence final : public LogSink {
 public:
  Silence() { SetLogSink(this); }
  ~Silence() override { SetLogSink(nullptr); }
  void Write(LogLevel, std::string_view) override {}
};

void Play(const RaceOptions& options, unsigned one_in) {
  const Silence silence;
  EventOrder order;
  World world;
  world.engine->SetEventListener([&](const LifecycleEvent& event) { order.Add(event); });
  SCOPED_TRACE(StrCat("BERTH_RACE_SEED=", options.seed));
  EngineTarget target(world);
  target.Stir(one_in);
  RaceDriver driver(target, options);
  const RaceOutcome outcome = driver.Play([&] { world.Heal(); });
  for (const std::string& line : outcome.mistakes) ADD_FAILURE() << line;
  std::printf("             seed %u: %llu calls, %llu pods answered\n", options.seed,
              static_cast<unsigned long long>(outcome.calls),
              static_cast<unsigned long long>(outcome.pods));
  EXPECT_GT(outcome.pods, 10u);
  world.ExpectNothingLeft();
  EXPECT_TRUE(one_in != 0 || world.Eventually([&] { return order.Left() == 0; })) << order.Left();
  // What failed and could not be undone is there without having been told.
  if (one_in != 0) return;
  for (const std::string& line : order.Wrong()) ADD_FAILURE() << line;
}

TEST(EngineStress, EveryAnswerOfManyClientsIsPossibleAndNothingIsLeft) { Play(Options(), 0); }

// No client gives up and no monitor is lost: the model then allows the fewest answers.
TEST(EngineStress, TheSameWithClientsThatWait) {
  RaceOptions options = Options();
  options.give_up = options.lose_monitors = false;
  Play(options, 0);
}

TEST(EngineStress, FailuresBelowTheEngineLeaveNothingThatCannotBeRemoved) {
  RaceOptions options = Options();
  options.faults = true;
  Play(options, 40);
}

// Few names and few clients: more of them meet in the same call.
TEST(EngineStress, TwoPodsOfOneContainer) {
  RaceOptions options = Options();
  options.pods = 2;
  options.containers = 1;
  Play(options, 0);
}

// A model that never objects would prove nothing.
TEST(RaceModel, ObjectsToWhatCannotBe) {
  const std::string a = TestId("a"), b = TestId("b"), c = TestId("c");
  auto wrong = [&](const std::function<void(RaceModel&)>& play) {
    RaceModel model({});
    model.RunAnswered(model.Now(), "web", a, false);
    model.CreateAnswered(model.Now(), a, "app", c, false);
    EXPECT_TRUE(model.Mistakes().empty());
    play(model);
    return model.Mistakes().size() == 1;
  };
  auto did = [&](RaceModel& model, RaceModel::Deed deed, const std::string& id) {
    model.Begin(deed, id);
    model.Answered(model.Now(), deed, id, Ok(), false);
  };
  EXPECT_TRUE(wrong([&](auto& m) { m.RunAnswered(m.Now(), "web", b, false); })) << "a second pod";
  EXPECT_TRUE(
      wrong([&](auto& m) { m.RunAnswered(m.Now(), "web", Error(Code::kAborted, ""), false); }));
  EXPECT_TRUE(wrong([&](auto& m) { m.PodSeen(m.Now(), a, SandboxState::kNotReady); }));
  EXPECT_TRUE(wrong([&](auto& m) { m.PodSeen(m.Now(), a, Error(Code::kNotFound, "")); }));
  EXPECT_TRUE(wrong([&](auto& m) { m.PodsListed(m.Now(), {}); })) << "not in the list";
  EXPECT_TRUE(wrong([&](auto& m) { m.ContainerSeen(m.Now(), c, ContainerState::kRunning); }));
  EXPECT_TRUE(wrong([&](auto& m) { m.UseAnswered(m.Now(), "exec", c, Ok(), false); }));
  EXPECT_TRUE(wrong([&](auto& m) {
    did(m, RaceModel::kStop, a);
    m.ContainerSeen(m.Now(), c, ContainerState::kCreated);
  })) << "a container outlives its pod's stop";
  EXPECT_TRUE(wrong([&](auto& m) {
    did(m, RaceModel::kRemove, a);
    m.PodSeen(m.Now(), a, SandboxState::kNotReady);
  }));
  EXPECT_TRUE(wrong([&](auto& m) {
    m.RunAnswered(m.Now(), "web", Error(Code::kAlreadyExists, StrCat("pod exists as ", a)), false);
  })) << "a name is taken by a pod that is ready";
}

}  // namespace
}  // namespace berth::pod
