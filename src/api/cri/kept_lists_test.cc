// SPDX-License-Identifier: Apache-2.0
// Lists of kept items: the same as lists made anew, after anything that can happen to pods and containers.
#include <google/protobuf/util/message_differencer.h>

#include <random>

#include "api/cri/convert.h"
#include "api/cri/handlers.h"
#include "api/cri/testing/server_fixture.h"

namespace berth::api {
namespace {

using google::protobuf::util::MessageDifferencer;

class KeptLists {
 public:
  explicit KeptLists(pod::World& world) : world_(world) {}

  void ExpectFresh() {
    v1::ListContainersResponse kept, anew;
    ASSERT_TRUE(kept.ParseFromString(world_.engine->EncodedContainers({}, &AppendListItem)));
    for (const auto& one : world_.engine->ListContainers({})) ToProto(one, anew.add_containers());
    ASSERT_TRUE(MessageDifferencer::Equals(kept, anew)) << kept.DebugString() << anew.DebugString();
    v1::ListPodSandboxResponse kept_pods, anew_pods;
    ASSERT_TRUE(kept_pods.ParseFromString(world_.engine->EncodedPodSandboxes({}, &AppendListItem)));
    for (const auto& one : world_.engine->ListPodSandbox({})) ToProto(one, anew_pods.add_items());
    ASSERT_TRUE(MessageDifferencer::Equals(kept_pods, anew_pods));
  }

  // One thing that a kubelet, a process or a fault does.
  void Step(std::mt19937& random) {
    auto pick = [&](const auto& list) {
      return list.empty() ? std::string("absent") : list[random() % list.size()].id;
    };
    std::string pod = pick(world_.engine->ListPodSandbox({}));
    std::string container = pick(world_.engine->ListContainers({}));
    switch (random() % 11) {
      case 0:
      case 1:
        (void)world_.Run(StrCat("pod-", random() % 5));
        break;
      case 2:
      case 3:
        (void)world_.Create(pod, StrCat("app-", random() % 3));
        break;
      case 4:
      case 5:
        (void)world_.engine->StartContainer({}, container);
        break;
      case 6:
        (void)world_.engine->StopContainer({}, container, std::chrono::seconds(0));
        break;
      case 7:
        (void)world_.engine->RemoveContainer({}, container);
        break;
      case 8:
        (void)world_.engine->StopPodSandbox({}, pod);
        break;
      case 9:
        (void)world_.engine->RemovePodSandbox({}, pod);
        break;
      default:
        EXPECT_TRUE(world_.Restart());
        break;
    }
  }

 private:
  pod::World& world_;
};

TEST(KeptListsTest, AreAsIfMadeAnewAfterAnyHistory) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    pod::World world;
    KeptLists lists(world);
    std::mt19937 random(seed);
    for (int step = 0; step < 60; ++step) {
      lists.Step(random);
      lists.ExpectFresh();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(KeptListsTest, FollowAnEndAndAMonitorThatIsLost) {
  pod::World world;
  KeptLists lists(world);
  auto [pod, container] = world.Running();
  lists.ExpectFresh();
  world.runtime.Exit(container, 3);
  ASSERT_TRUE(world.Becomes(container, pod::ContainerState::kExited));
  lists.ExpectFresh();
  ASSERT_TRUE(world.engine->StartContainer({}, *world.Create(pod, "second")));
  lists.ExpectFresh();
  world.runtime.LoseMonitor(pod);
  ASSERT_TRUE(world.Eventually([&, id = pod] {
    return world.engine->PodSandboxStatus(id)->state == pod::SandboxState::kNotReady;
  }));
  lists.ExpectFresh();
  world.records.Damage(pod);
  ASSERT_TRUE(world.Restart());
  lists.ExpectFresh();
}

TEST(KeptListsTest, AnItemIsEncodedOnceForEachLookAndAnewByAnotherFunction) {
  static int encoded;
  encoded = 0;
  auto count = [](const pod::ContainerStatus& status, std::string* out) {
    ++encoded;
    out->append(status.id);
  };
  pod::World world;
  auto [pod, container] = world.Running();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(world.engine->EncodedContainers({}, count), container);
  EXPECT_EQ(encoded, 1);
  ASSERT_TRUE(world.engine->StopContainer({}, container, std::chrono::seconds(0)));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(world.engine->EncodedContainers({}, count), container);
  EXPECT_EQ(encoded, 2);
  KeptLists(world).ExpectFresh();
}

TEST(KeptListsTest, AThousandContainersAreListedWithoutAskingAnythingBelow) {
  pod::World world;
  std::string pod = *world.Run();
  pod::ContainerConfig config = pod::MinimalContainerConfig("app");
  for (config.metadata.attempt = 0; config.metadata.attempt < 1000; ++config.metadata.attempt) {
    ASSERT_TRUE(world.engine->CreateContainer({}, pod, config));
  }
  std::atomic<int> calls{0};
  world.OnCall([&](const std::string&) { ++calls; });
  for (int i = 0; i < 2; ++i) {
    v1::ListContainersResponse list;
    ASSERT_TRUE(list.ParseFromString(world.engine->EncodedContainers({}, &AppendListItem)));
    EXPECT_EQ(list.containers_size(), 1000);
    EXPECT_FALSE(world.engine->EncodedPodSandboxes({}, &AppendListItem).empty());
  }
  EXPECT_EQ(calls, 0);
  world.OnCall({});
}

}  // namespace
}  // namespace berth::api
