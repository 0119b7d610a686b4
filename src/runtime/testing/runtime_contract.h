// SPDX-License-Identifier: Apache-2.0
// What every Runtime does, whatever is behind it: one suite for FakeRuntime and for MonitorRuntime.
// Used by tests: INSTANTIATE_TEST_SUITE_P(Name, RuntimeContract, testing::Values(factory)).
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "runtime/runtime.h"

namespace berth::runtime {

class RuntimeUnderTest {
 public:
  virtual ~RuntimeUnderTest() = default;
  virtual Runtime& runtime() = 0;
  virtual SandboxSpec Sandbox(const std::string& id) = 0;
  // A container that runs until it is killed, or ends with `exit_code` after its start.
  virtual CreateRequest Sleeper(const std::string& sandbox_id, const std::string& id) = 0;
  virtual CreateRequest Quitter(const std::string& sandbox_id, const std::string& id,
                                int exit_code) = 0;
  // For runtimes whose containers do not end by themselves: ends a started Quitter.
  virtual void LetQuit(const std::string& id, int exit_code) = 0;
  // The process of an exec session that ends with `exit_code`, and for runtimes whose processes do not end by
  // themselves: ends it.
  virtual ExecRequest Exec(const std::string& sandbox_id, const std::string& id, int exit_code) = 0;
  virtual void LetExecEnd(int exit_code) = 0;
  // Nothing of any pod is left.
  virtual bool Empty() = 0;
};
using RuntimeFactory = std::function<std::unique_ptr<RuntimeUnderTest>()>;

// Collects what a runtime reports.
class EventLog {
 public:
  EventSink Sink();
  // Waits for the exit of a container; an empty optional after ten seconds.
  std::optional<ExitRecord> WaitExit(const std::string& container_id);
  size_t CountExits(const std::string& container_id);
  bool WaitLost(const std::string& sandbox_id);
  std::optional<SandboxObservation> WaitAnswered(const std::string& sandbox_id);

 private:
  struct State {
    std::vector<ContainerExited> exits;
    std::vector<std::string> lost;
    std::vector<SandboxObservation> answered;
  };
  Guarded<State> state_;
};

class RuntimeContract : public testing::TestWithParam<RuntimeFactory> {
 protected:
  void SetUp() override;
  void TearDown() override;
  Runtime& runtime() { return subject_->runtime(); }
  void StartSandbox(const std::string& id);

  EventLog events_;
  std::unique_ptr<RuntimeUnderTest> subject_;
};

}  // namespace berth::runtime
