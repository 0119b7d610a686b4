// SPDX-License-Identifier: Apache-2.0
// What cAdvisor is told, over the engine's fakes, and the socket that it looks for.
#include "api/sessions/node_view.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <future>
#include <nlohmann/json.hpp>

#include "os/dir_fd.h"
#include "pod/testing/engine_world.h"

namespace berth::sessions {
namespace {

using Json = nlohmann::json;

const NodeViewOptions kOptions{.root = "/var/lib/berth"};

Json Ask(pod::Engine& engine, const std::string& path) {
  Result<std::string> text = NodeView(engine, kOptions, path);
  EXPECT_TRUE(text) << text.error().message();
  return text ? Json::parse(*text) : Json();
}

TEST(NodeView, SaysWhereThingsAre) {
  pod::World world;
  const Json info = Ask(*world.engine, "/info");
  EXPECT_EQ(info["storage_driver"], "overlay");
  EXPECT_EQ(info["storage_root"], "/var/lib/berth");
}

TEST(NodeView, TellsOfAContainerOnlyWhatTheKubeletBounds) {
  pod::World world;
  const std::string pod = *world.Run();
  pod::ContainerConfig config = pod::MinimalContainerConfig("app");
  config.labels = {{"io.kubernetes.pod.name", "web"}, {"other", std::string(100'000, 'x')}};
  config.annotations = {{"io.kubernetes.container.restartCount", "3"}, {"other", "x"}};
  const std::string id = *world.engine->CreateContainer({}, pod, config);
  ASSERT_TRUE(world.engine->StartContainer({}, id));
  const Json seen = Ask(*world.engine, "/containers/" + id);
  EXPECT_EQ(seen["name"], id);
  EXPECT_EQ(seen["pid"], world.engine->GetContainerStatus(id)->pid);
  EXPECT_GT(seen["pid"], 0);
  EXPECT_EQ(seen["labels"], (Json{{"io.kubernetes.pod.name", "web"}}));
  EXPECT_EQ(seen["annotations"], (Json{{"io.kubernetes.container.restartCount", "3"}}));
  EXPECT_EQ(seen["root"], "/var/lib/berth/containers/" + id);
  EXPECT_EQ(seen["image"], world.engine->GetContainerStatus(id)->image.image);
}

TEST(NodeView, APodStandsForItsNetwork) {
  pod::World world;
  const std::string pod = *world.Run();
  EXPECT_EQ(Ask(*world.engine, "/containers/" + pod)["pid"], 0);
  const std::string id = *world.Create(pod);
  ASSERT_TRUE(world.engine->StartContainer({}, id));
  const Json seen = Ask(*world.engine, "/containers/" + pod);
  EXPECT_EQ(seen["pid"], world.engine->GetContainerStatus(id)->pid);
  EXPECT_EQ(seen["labels"]["io.kubernetes.container.name"], "POD");
  EXPECT_EQ(seen["ip_address"], world.engine->PodSandboxStatus(pod)->ip);
}

TEST(NodeView, WhatIsBeingMadeIsWaitedFor) {
  pod::World world;
  const std::string pod = *world.Run();
  NodeViewOptions patient = kOptions;
  patient.patience = std::chrono::seconds(30);
  std::atomic<bool> asked = false;  // once: later calls are of the answer itself
  std::future<Result<std::string>> answer;
  world.OnCall([&](const std::string&) {
    if (asked || world.records.Containers().empty()) return;
    asked = true;
    const std::string id = world.records.Containers().begin()->first;
    EXPECT_TRUE(world.engine->IsBeingMade(id));
    answer = std::async(std::launch::async,
                        [&, id] { return NodeView(*world.engine, patient, "/containers/" + id); });
    EXPECT_EQ(answer.wait_for(std::chrono::milliseconds(60)), std::future_status::timeout);
  });
  const std::string id = *world.Create(pod);
  EXPECT_FALSE(world.engine->IsBeingMade(id));
  ASSERT_TRUE(answer.valid());
  const Json seen = Json::parse(*answer.get());
  EXPECT_EQ(seen["name"], id);
  EXPECT_EQ(seen["image"], world.engine->GetContainerStatus(id)->image.image);
  EXPECT_NE(seen["image"], "");
}

// There may be many: of another runtime's pods, which cAdvisor asks about one after the other.
TEST(NodeView, AnUnknownIdIsNotWaitedFor) {
  pod::World world;
  NodeViewOptions patient = kOptions;
  patient.patience = std::chrono::seconds(30);
  const std::string id = *world.Create(*world.Run());
  EXPECT_TRUE(world.engine->RemoveContainer({}, id));
  const auto began = std::chrono::steady_clock::now();
  Result<std::string> text = NodeView(*world.engine, patient, "/containers/" + id);
  ASSERT_FALSE(text);
  pod::ExpectError(text.error(), Code::kNotFound, id);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(10));
}

TEST(NodeView, NothingElseIsThere) {
  pod::World world;
  const std::string pod = *world.Run();
  const std::string beginning = pod.substr(0, 10);
  for (const std::string& path :
       {std::string("/"), std::string("/containers/"), "/containers/" + beginning,
        "/containers/" + std::string(64, 'f'), "/containers/" + pod + "/x"}) {
    Result<std::string> text = NodeView(*world.engine, kOptions, path);
    ASSERT_FALSE(text) << path;
    EXPECT_EQ(text.error().code(), Code::kNotFound) << path;
  }
}

TEST(ListenForCadvisor, TakesThePlaceOfADeadSocketButNotOfALivingOne) {
  Result<os::TempDir> temp = os::TempDir::Make();
  ASSERT_TRUE(temp);
  const std::string path = temp->path() + "/crio/crio.sock";
  Result<os::Fd> first = ListenForCadvisor(path);
  ASSERT_TRUE(first) << first.error().message();
  struct stat st{};
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600U);
  Result<os::Fd> second = ListenForCadvisor(path);
  ASSERT_FALSE(second);
  pod::ExpectError(second.error(), Code::kFailedPrecondition, "somebody listens on");
  first->Reset();
  EXPECT_TRUE(ListenForCadvisor(path));
}

}  // namespace
}  // namespace berth::sessions
