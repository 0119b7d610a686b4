// SPDX-License-Identifier: Apache-2.0
// StartContainer of a command that is not there, and repeated; CDI devices on their way into the spec.
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>

#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

constexpr char kMissing[] =
    "crun create: executable file `/no/such` not found in $PATH: No such file or directory";

TEST(EngineStart, AMissingCommandIsAnErrorOfStart) {
  for (bool restart : {false, true}) {
    World world;
    std::string pod = *world.Run();
    world.runtime.FailAt("Create", Error(Code::kInternal, kMissing));
    auto id = world.Create(pod);
    ASSERT_TRUE(id) << id.error().message();
    EXPECT_EQ(world.Status(*id).state, ContainerState::kCreated);
    EXPECT_EQ(*world.Create(pod), *id) << "a retry gets the same";
    if (restart) {
      ASSERT_TRUE(world.Restart());
    }
    auto update = world.engine->UpdateContainerResources({}, *id, {});
    ExpectError(update.error(), Code::kFailedPrecondition, "it has no process");
    auto started = world.engine->StartContainer({}, *id);
    ASSERT_FALSE(started);
    ExpectError(started.error(), Code::kFailedPrecondition, "`/no/such` not found");
    ContainerStatus status = world.Status(*id);
    EXPECT_EQ(status.state, ContainerState::kExited);
    EXPECT_EQ(status.exit_code, 128);
    EXPECT_EQ(status.reason, "StartError");
    EXPECT_NE(status.message.find("`/no/such` not found"), std::string::npos);
    EXPECT_TRUE(world.engine->StopContainer({}, *id, std::chrono::seconds(1)));
    EXPECT_TRUE(world.engine->RemovePodSandbox({}, pod));
    world.ExpectNothingLeft();
  }
}

TEST(EngineStart, WhatHasNoCommandCanBeStoppedAndRemoved) {
  World world;
  std::string pod = *world.Run();
  world.runtime.FailAt("Create", Error(Code::kInternal, kMissing));
  std::string id = *world.Create(pod);
  ASSERT_TRUE(world.engine->StopContainer({}, id, std::chrono::seconds(1)));
  EXPECT_EQ(world.Status(id).exit_code, 128);
  EXPECT_EQ(world.Status(id).reason, "StartError");
  EXPECT_TRUE(world.engine->RemoveContainer({}, id));
  EXPECT_TRUE(world.engine->RemovePodSandbox({}, pod));
  world.ExpectNothingLeft();
}

TEST(EngineStart, AnyOtherErrorOfTheRuntimeIsOneOfCreate) {
  World world;
  std::string pod = *world.Run();
  world.runtime.FailAt("Create", Error(Code::kInternal, "crun create: mount `x`: no"));
  auto id = world.Create(pod);
  ASSERT_FALSE(id);
  ExpectError(id.error(), Code::kInternal, "mount `x`: no");
  EXPECT_TRUE(world.engine->ListContainers({}).empty());
}

TEST(EngineStart, ARepeatJoinsTheStartInFlight) {
  for (bool fails : {false, true}) {
    World world;
    std::string pod = *world.Run();
    std::string id = *world.Create(pod);
    std::atomic<bool> entered{false}, go{false};
    if (fails) world.FailAll({"runtime.Start"});
    world.OnCall([&](const std::string& name) {
      if (name != "runtime.Start") return;
      entered = true;
      while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    std::optional<Result<>> first, second;
    std::thread one([&] { first.emplace(world.engine->StartContainer({}, id)); });
    while (!entered) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::thread two([&] { second.emplace(world.engine->StartContainer({}, id)); });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    go = true;
    one.join();
    two.join();
    EXPECT_EQ(first->has_value(), !fails);
    EXPECT_EQ(second->has_value(), !fails);
    EXPECT_EQ(world.runtime.CountCalls("Start"), 1U);
    if (fails) {
      ExpectError(second->error(), Code::kInternal, "injected");
    }
  }
}

TEST(EngineCdi, DevicesOfFieldAndAnnotationsReachTheSpec) {
  World world;
  world.host.AddDevice({.path = "/dev/acme", .type = 'c', .major = 200, .minor = 7, .mode = 0600});
  world.host.AddCdiFile({"/etc/cdi/a.json", 0,
                         R"({"cdiVersion":"0.6.0","kind":"acme.com/gpu","devices":[
      {"name":"a","containerEdits":{"env":["ACME=a"],"deviceNodes":[{"path":"/dev/acme"}]}},
      {"name":"b","containerEdits":{"env":["ACME_B=b"]}},
      {"name":"c","containerEdits":{"deviceNodes":[{"path":"/dev/none"}]}}]})",
                         ""});
  std::string pod = *world.Run();
  ContainerConfig config = MinimalContainerConfig("app");
  config.cdi_devices = {"acme.com/gpu=a"};
  config.annotations = {{"cdi.k8s.io/x", "acme.com/gpu=b"}};
  std::string id = *world.engine->CreateContainer({}, pod, config);
  std::string spec = world.runtime.Containers().at(id).spec_json;
  for (const char* part : {"\"ACME=a\"", "\"ACME_B=b\"", "\"major\":200,\"minor\":7"}) {
    EXPECT_NE(spec.find(part), std::string::npos) << part << " in " << spec;
  }
  auto refused = [&](const std::string& name, Code code, std::string_view fragment) {
    config.metadata.name = "other";
    config.cdi_devices = {name};
    ExpectError(world.engine->CreateContainer({}, pod, config).error(), code, fragment);
  };
  refused("acme.com/gpu=z", Code::kInvalidArgument, "\"acme.com/gpu=z\": no such device");
  refused("gpu", Code::kInvalidArgument, "is not vendor/class=name");
  refused("acme.com/gpu=c", Code::kNotFound, "/dev/none");
  EXPECT_EQ(world.engine->ListContainers({}).size(), 1U);
}

}  // namespace
}  // namespace berth::pod
