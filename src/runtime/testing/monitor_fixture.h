// SPDX-License-Identifier: Apache-2.0
// A pod "s1" of the real berth-monitor over the scripted OCI runtime; at the end nothing of it is left. Owned by a
// test; one thread.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/strings.h"
#include "runtime/testing/runtime_contract.h"
#include "runtime/testing/runtime_subjects.h"

namespace berth::runtime {

inline size_t CountFds(int pid) {
  size_t count = 0;
  DIR* dir = ::opendir(StrCat("/proc/", pid, "/fd").c_str());
  if (dir == nullptr) return 0;
  while (::readdir(dir) != nullptr) ++count;
  ::closedir(dir);
  return count;
}

class MonitorRuntimeTest : public testing::Test {
 protected:
  void SetUp() override {
    runtime().SetEventSink(events_.Sink());
    Result<SandboxHandle> handle = runtime().StartSandbox(subject_.Sandbox("s1"));
    ASSERT_TRUE(handle) << handle.error().message();
    monitor_ = handle->monitor_pid;
  }
  void TearDown() override {
    EXPECT_TRUE(runtime().StopSandbox("s1"));
    EXPECT_TRUE(subject_.Empty());
  }
  Runtime& runtime() { return subject_.runtime(); }
  void Run(const std::string& id, const std::string& script) {
    Result<int> created = runtime().Create(subject_.Script("s1", id, script));
    ASSERT_TRUE(created) << created.error().message();
    Result<> started = runtime().Start("s1", id);
    ASSERT_TRUE(started) << started.error().message();
  }
  Result<ExecOutput> Exec(const std::string& script,
                          std::chrono::nanoseconds timeout = std::chrono::seconds(20),
                          size_t limit = 1000) {
    return runtime().ExecSync({"s1", "c1", script, false}, timeout, limit);
  }

  EventLog events_;
  EventLog after_;  // of a second daemon
  ScriptSubject subject_;
  int monitor_ = 0;
};

}  // namespace berth::runtime
