// SPDX-License-Identifier: Apache-2.0
// The runtimes that the contract suite is run on: FakeRuntime, and MonitorRuntime over the scripted
// OCI runtime. Owned by a test, which defines BERTH_BINARY_DIR; one thread.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/strings.h"
#include "os/dir_fd.h"
#include "runtime/monitor_runtime.h"
#include "runtime/testing/fake_runtime.h"
#include "runtime/testing/runtime_contract.h"
#include "runtime/testing/script_runtime.h"

namespace berth::runtime {

class FakeSubject final : public RuntimeUnderTest {
 public:
  Runtime& runtime() override { return fake_; }
  SandboxSpec Sandbox(const std::string& id) override {
    SandboxSpec spec;
    spec.sandbox_id = id;
    return spec;
  }
  CreateRequest Sleeper(const std::string& sandbox_id, const std::string& id) override {
    CreateRequest request;
    request.sandbox_id = sandbox_id;
    request.container_id = id;
    return request;
  }
  CreateRequest Quitter(const std::string& sandbox_id, const std::string& id, int) override {
    return Sleeper(sandbox_id, id);
  }
  void LetQuit(const std::string& id, int exit_code) override { fake_.Exit(id, exit_code); }
  ExecRequest Exec(const std::string& sandbox_id, const std::string& id, int) override {
    return {sandbox_id, id, "{}", false};
  }
  void LetExecEnd(int exit_code) override {
    std::optional<FakeRuntime::Session> session = fake_.TakeSession();
    ASSERT_TRUE(session);
    FakeRuntime::EndSession(*session, exit_code);
  }
  bool Empty() override { return fake_.Empty(); }

 private:
  FakeRuntime fake_;
};

class ScriptSubject final : public RuntimeUnderTest {
 public:
  ScriptSubject() {
    EXPECT_TRUE(temp_.dir().WriteFile("crun", kScriptRuntime, 0755));
    Restart();
  }
  ~ScriptSubject() override {
    if (!runtime_) return;
    Result<std::vector<std::string>> left = os::DirFd::OpenTrusted(state() + "/pods")->List();
    if (!left) return;
    for (const std::string& id : *left) EXPECT_TRUE(runtime_->StopSandbox(id));
  }
  // A new daemon; the monitors stay.
  void Restart() {
    runtime_.reset();
    MonitorRuntimeConfig config;
    config.state_dir = state();
    config.monitor_path = StrCat(BERTH_BINARY_DIR, "/bin/berth-monitor");
    config.handlers = {{"crun", StrCat(temp_.path(), "/crun"), {}, StrCat(state(), "/runtime")}};
    config.default_handler = "crun";
    config.cgroup_root = temp_.path();
    config.observe_timeout = std::chrono::seconds(1);
    config.stop_timeout = std::chrono::seconds(3);
    config.quick_timeout = std::chrono::seconds(2);
    config.silence = std::chrono::seconds(3);
    config.call_timeout = std::chrono::seconds(20);
    auto made = MonitorRuntime::Make(std::move(config));
    ASSERT_TRUE(made) << made.error().message();
    runtime_ = std::move(*made);
  }
  void Drop() { runtime_.reset(); }
  std::string LogBytes(const std::string& id) {
    Result<std::string> text = temp_.dir().ReadFile(StrCat("logs/", id, "/0.log"), 16 << 20);
    return text ? *text : "";
  }
  std::string state() const { return StrCat(temp_.path(), "/state"); }
  const os::TempDir& temp() const { return temp_; }
  Runtime& runtime() override { return *runtime_; }
  SandboxSpec Sandbox(const std::string& id) override {
    SandboxSpec spec;
    spec.sandbox_id = id;
    spec.new_ipc_namespace = false;
    spec.new_uts_namespace = false;
    spec.shm_bytes = 0;
    return spec;
  }
  CreateRequest Script(const std::string& sandbox_id, const std::string& id,
                       const std::string& script) {
    CreateRequest request;
    request.sandbox_id = sandbox_id;
    request.container_id = id;
    request.spec_json = script;
    request.log_directory = StrCat(temp_.path(), "/logs");
    request.log_path = StrCat(id, "/0.log");
    return request;
  }
  CreateRequest Sleeper(const std::string& sandbox_id, const std::string& id) override {
    return Script(sandbox_id, id, "exec sleep 1000\n");
  }
  CreateRequest Quitter(const std::string& sandbox_id, const std::string& id,
                        int exit_code) override {
    return Script(sandbox_id, id, StrCat("exit ", exit_code, "\n"));
  }
  void LetQuit(const std::string&, int) override {}
  ExecRequest Exec(const std::string& sandbox_id, const std::string& id, int exit_code) override {
    return {sandbox_id, id, StrCat("exit ", exit_code, "\n"), false};
  }
  void LetExecEnd(int) override {}
  bool Empty() override {
    auto pods = os::DirFd::OpenTrusted(state() + "/pods")->List();
    auto records = os::DirFd::MakeTrusted(state() + "/runtime", 0700)->List();
    return pods && pods->empty() && records && records->empty();
  }
  std::string Log(const std::string& id) {
    Result<std::string> text = temp_.dir().ReadFile(StrCat("logs/", id, "/0.log"), 1 << 20);
    return text ? *text : text.error().message();
  }

 private:
  os::TempDir temp_ = *os::TempDir::Make();
  std::unique_ptr<MonitorRuntime> runtime_;
};

}  // namespace berth::runtime
