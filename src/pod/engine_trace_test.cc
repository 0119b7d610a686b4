// SPDX-License-Identifier: Apache-2.0
// What the verbose status says of a start's steps.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

std::vector<std::string> TracedSteps(const StringMap& info, const char* call) {
  const auto json = nlohmann::json::parse(info.at("info"));
  std::vector<std::string> names;
  if (!json.contains("trace")) return names;
  const auto& trace = json["trace"][call];
  int64_t sum = 0;
  for (const auto& step : trace["steps"]) {
    names.push_back(step["step"]);
    sum += step["tookMicros"].get<int64_t>();
  }
  // One after the other on these fakes, but for what runs beside.
  EXPECT_LE(sum, 2 * trace["tookMicros"].get<int64_t>() + 1000);
  return names;
}

TEST(EngineTrace, InfoSaysWhatEachStepOfAStartTook) {
  World world;
  auto [pod, container] = world.Running();
  using Names = std::vector<std::string>;
  EXPECT_EQ(TracedSteps(*world.engine->PodSandboxInfo(pod), "RunPodSandbox"),
            (Names{"plan", "intent record", "network namespace", "control group", "ready record"}));
  const StringMap info = *world.engine->ContainerInfo(container);
  EXPECT_EQ(TracedSteps(info, "CreateContainer"),
            (Names{"find the image", "intent record", "root file system", "user", "mounts", "spec",
                   "created record"}));
  EXPECT_EQ(TracedSteps(info, "StartContainer"), Names{"running record"});
  // It is not written down: a new daemon knows none.
  ASSERT_TRUE(world.Restart());
  EXPECT_EQ(TracedSteps(*world.engine->PodSandboxInfo(pod), "RunPodSandbox"), Names{});
}

TEST(EngineTrace, AStepThatFailsIsInIt) {
  World world;
  std::string pod = *world.Run();
  std::string container = *world.Create(pod);
  world.FailAll({"runtime.Start"});
  ASSERT_FALSE(world.engine->StartContainer({}, container));
  world.Heal();
  EXPECT_EQ(TracedSteps(*world.engine->ContainerInfo(container), "StartContainer"),
            std::vector<std::string>{"running record"});
}

TEST(Trace, KeepsTheOrderCutsNamesAndDropsWhatIsTooMuch) {
  Trace trace;
  trace.Begin();
  const auto now = Trace::Clock::now();
  using std::chrono::milliseconds;
  trace.Add("second", now + milliseconds(2), milliseconds(1), 7);
  trace.Add(std::string(100, 'x'), now + milliseconds(1), milliseconds(5));
  EXPECT_FALSE(trace.took_us());
  trace.End();
  ASSERT_TRUE(trace.took_us());
  auto steps = trace.Steps();
  ASSERT_EQ(steps.size(), 2U);
  EXPECT_EQ(std::string(steps[0].name.data()), std::string(31, 'x'));
  EXPECT_EQ(steps[0].took_us, 5000U);
  EXPECT_EQ(std::string(steps[1].name.data()), "second");
  EXPECT_EQ(steps[1].cpu_us, 7U);
  for (size_t i = 0; i < 2 * Trace::kMaxSteps; ++i) trace.Add("more", now, milliseconds(1));
  EXPECT_EQ(trace.Steps().size(), Trace::kMaxSteps);
  trace.Begin();
  EXPECT_TRUE(trace.Steps().empty());
  EXPECT_FALSE(trace.took_us());
}

}  // namespace
}  // namespace berth::pod
