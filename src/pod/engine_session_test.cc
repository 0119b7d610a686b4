// SPDX-License-Identifier: Apache-2.0
// Exec, Attach and PortForward: what is refused when it is asked for (rule 30), and what the runtime is asked for.
#include <gtest/gtest.h>
#include <unistd.h>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

using std::chrono::seconds;

ExecOptions Exec(const std::string& id) {
  ExecOptions options;
  options.container_id = id;
  options.command = {"sh"};
  options.std_out = true;
  return options;
}
AttachOptions Attach(const std::string& id) {
  AttachOptions options;
  options.container_id = id;
  options.std_out = true;
  return options;
}

TEST(EngineSession, Rule30WhatHasNoMeaningIsRefused) {
  World world;
  auto [pod, id] = world.Running();
  ExecOptions exec = Exec(id);
  exec.tty = exec.std_err = true;
  ExpectError(world.engine->CheckExec(exec).error(), Code::kInvalidArgument, "tty and stderr");
  exec = Exec(id);
  exec.std_out = false;
  ExpectError(world.engine->CheckExec(exec).error(), Code::kInvalidArgument, "none of stdin");
  exec = Exec(id);
  exec.command.clear();
  ExpectError(world.engine->CheckExec(exec).error(), Code::kInvalidArgument, "command is empty");
  AttachOptions attach = Attach(id);
  attach.tty = attach.std_err = true;
  ExpectError(world.engine->CheckAttach(attach).error(), Code::kInvalidArgument, "tty and stderr");
  attach = Attach(id);
  attach.std_out = false;
  ExpectError(world.engine->CheckAttach(attach).error(), Code::kInvalidArgument, "none of stdin");
  ExpectError(world.engine->CheckExec(Exec("")).error(), Code::kInvalidArgument, "id");
  ExpectError(world.engine->CheckAttach(Attach("")).error(), Code::kInvalidArgument, "id");
  ExpectError(world.engine->CheckPortForward({}).error(), Code::kInvalidArgument, "id");
  for (int32_t port : {-1, 0, 65536})
    ExpectError(world.engine->CheckPortForward({pod, {port}}).error(), Code::kInvalidArgument,
                StrCat("port ", port));
  ExpectError(world.engine->CheckPortForward({pod, std::vector<int32_t>(65, 80)}).error(),
              Code::kInvalidArgument, "65 ports");
}

TEST(EngineSession, Rule30ItMustBeThereAndRun) {
  World world;
  const std::string unknown = TestId("ee");
  ExpectError(world.engine->CheckExec(Exec(unknown)).error(), Code::kNotFound, unknown);
  ExpectError(world.engine->CheckAttach(Attach(unknown)).error(), Code::kNotFound, unknown);
  ExpectError(world.engine->CheckPortForward({unknown, {80}}).error(), Code::kNotFound, unknown);
  std::string pod = *world.Run();
  std::string id = *world.Create(pod);
  ExpectError(world.engine->CheckExec(Exec(id)).error(), Code::kFailedPrecondition, "not running");
  ExpectError(world.engine->CheckAttach(Attach(id)).error(), Code::kFailedPrecondition,
              "not running");
  ASSERT_TRUE(world.engine->StartContainer({}, id));
  // The whole id, since the short one may have become that of another by the time the streams are there.
  EXPECT_EQ(world.engine->CheckExec(Exec(id.substr(0, 12)))->container_id, id);
  EXPECT_EQ(world.engine->CheckAttach(Attach(id.substr(0, 12)))->container_id, id);
  EXPECT_EQ(world.engine->CheckPortForward({pod.substr(0, 12), {80}})->sandbox_id, pod);
  ASSERT_TRUE(world.engine->StopPodSandbox({}, pod));
  ExpectError(world.engine->StartExec(Exec(id)).error(), Code::kFailedPrecondition, "not running");
  ExpectError(world.engine->StartAttach(Attach(id)).error(), Code::kFailedPrecondition,
              "not running");
  ExpectError(world.engine->CheckPortForward({pod, {80}}).error(), Code::kFailedPrecondition,
              "not ready");
  ExpectError(world.engine->StartPortForward({pod, {80}}).error(), Code::kFailedPrecondition,
              "not ready");
}

TEST(EngineSession, ExecRunsTheContainersOwnProcessWithAnotherCommand) {
  World world;
  auto [pod, id] = world.Running();
  ExecOptions options = Exec(id);
  options.std_in = options.std_err = true;
  auto streams = world.engine->StartExec(options);
  ASSERT_TRUE(streams) << streams.error().message();
  EXPECT_TRUE(streams->std_in && streams->std_out && streams->std_err && streams->result);
  auto session = world.runtime.TakeSession();
  ASSERT_TRUE(session);
  EXPECT_NE(session->process_json.find("\"args\":[\"sh\"]"), std::string::npos)
      << session->process_json;
  EXPECT_EQ(session->process_json.find("TERM=xterm"), std::string::npos);
}

TEST(EngineSession, Rule30ExecWithATerminalHasTermXterm) {
  World world;
  auto [pod, id] = world.Running();
  ExecOptions options = Exec(id);
  options.tty = options.std_in = true;
  auto streams = world.engine->StartExec(options);
  ASSERT_TRUE(streams) << streams.error().message();
  EXPECT_TRUE(streams->terminal);
  EXPECT_FALSE(streams->std_in || streams->std_out);
  EXPECT_NE(world.runtime.TakeSession()->process_json.find("TERM=xterm"), std::string::npos);
}

TEST(EngineSession, Rule32PortForwardGoesIntoThePodsNetworkOrTheNodes) {
  World world;
  std::string pod = *world.Run();
  auto dialer = world.engine->StartPortForward({pod, {80}});
  ASSERT_TRUE(dialer) << dialer.error().message();
  auto session = world.runtime.TakeSession();
  ASSERT_TRUE(session && session->netns);
  std::string name(pod.size(), '\0');
  EXPECT_EQ(::pread(session->netns.get(), name.data(), name.size(), 0),
            static_cast<ssize_t>(name.size()));
  EXPECT_EQ(name, pod);
  SandboxConfig host = MinimalSandboxConfig("host");
  host.security.namespaces.network = NamespaceMode::kNode;
  std::string host_pod = *world.engine->RunPodSandbox({}, host, "");
  ASSERT_TRUE(world.engine->StartPortForward({host_pod, {}}));
  EXPECT_FALSE(world.runtime.TakeSession()->netns);
}

}  // namespace
}  // namespace berth::pod
