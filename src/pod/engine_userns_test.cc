// SPDX-License-Identifier: Apache-2.0
// Pods with a user namespace: what is made in which order, and what the containers get.
#include <gtest/gtest.h>

#include "oci/spec_json.h"
#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

constexpr uint32_t kHostId = 131072, kCount = 65536;

class EngineUserns : public ::testing::Test {
 protected:
  void SetUp() override { Allow(true); }
  void Allow(bool allowed) {
    auto handlers = world_.runtime.Handlers();
    for (auto& handler : handlers) handler.user_namespaces = allowed;
    world_.runtime.SetHandlers(handlers);
  }
  static UserNamespace Mapped() {
    return {NamespaceMode::kPod, {{kHostId, 0, kCount}}, {{kHostId, 0, kCount}}};
  }
  static SandboxConfig Config() {
    SandboxConfig config = MinimalSandboxConfig();
    config.security.namespaces.userns = Mapped();
    return config;
  }
  Result<std::string> Run(const SandboxConfig& config = Config()) {
    return world_.engine->RunPodSandbox({}, config, "");
  }
  Result<std::string> Create(const std::string& pod, const ContainerConfig& config) {
    return world_.engine->CreateContainer({}, pod, config);
  }
  oci::Spec SpecOf(const std::string& id) {
    return *oci::ParseSpec(world_.runtime.Containers().at(id).spec_json);
  }
  World world_;
};

TEST_F(EngineUserns, ThePodsNetworkNamespaceIsTheOneMadeWithIt) {
  std::vector<std::string> calls;
  world_.OnCall([&](const std::string& name) { calls.push_back(name); });
  auto pod = Run();
  ASSERT_TRUE(pod) << pod.error().message();
  auto at = [&](const char* name) { return std::find(calls.begin(), calls.end(), name); };
  EXPECT_LT(at("runtime.MakeUserNs"), at("network.PinNs"));
  EXPECT_LT(at("network.PinNs"), at("network.Attach"));
  EXPECT_EQ(at("network.CreateNs"), calls.end());
  EXPECT_EQ(world_.runtime.Sandboxes().at(*pod).spec.root_id, kHostId);
  EXPECT_EQ(world_.engine->PodSandboxStatus(*pod)->namespaces.userns->uids, Mapped().uids);
}

TEST_F(EngineUserns, AContainerJoinsItAndItsFilesAreShifted) {
  std::string pod = *Run();
  ContainerConfig config = MinimalContainerConfig();
  MountConfig shifted, plain;
  shifted.container_path = "/shifted", shifted.host_path = "/h";
  shifted.uid_mappings = shifted.gid_mappings = Mapped().uids;
  plain.container_path = "/plain", plain.host_path = "/h";
  config.mounts = {plain, shifted};
  std::string id = *Create(pod, config);
  oci::Spec spec = SpecOf(id);
  const auto& spaces = spec.linux.namespaces;
  auto user =
      std::find_if(spaces.begin(), spaces.end(), [](const auto& ns) { return ns.type == "user"; });
  ASSERT_NE(user, spaces.end());
  EXPECT_EQ(user->path, world_.runtime.Sandboxes().at(pod).handle.user_ns_path);
  EXPECT_EQ(spec.linux.uid_mappings, (std::vector<oci::IdMapping>{{0, kHostId, kCount}}));
  EXPECT_EQ(spec.linux.gid_mappings, spec.linux.uid_mappings);
  ASSERT_TRUE(world_.images.last_shift());
  EXPECT_EQ(world_.images.last_shift()->host_id, kHostId);
  EXPECT_EQ(world_.images.last_shift()->count, kCount);
  for (const auto& mount : spec.mounts) {
    if (mount.destination == "/plain") {
      EXPECT_EQ(mount.source, "/h");
    }
    if (mount.destination == "/shifted") {
      EXPECT_EQ(mount.source, world_.runtime.VolumePath(pod, id, 0));
    }
    EXPECT_TRUE(mount.uid_mappings.empty()) << mount.destination;
  }
  // Also by the daemon that comes next.
  ASSERT_TRUE(world_.Restart());
  config.metadata.name = "second";
  EXPECT_TRUE(Create(pod, config));
}

TEST_F(EngineUserns, WithoutOneNothingIsShifted) {
  std::string pod = *world_.Run();
  ASSERT_TRUE(world_.Create(pod));
  EXPECT_FALSE(world_.images.last_shift());
  EXPECT_EQ(world_.runtime.CountCalls("MakeUserNs"), 0U);
}

TEST_F(EngineUserns, AHandlerOrNodeThatCannotIsSaid) {
  Allow(false);
  ExpectError(Run().error(), Code::kFailedPrecondition, "user namespaces are not supported");
  world_.ExpectNothingLeft();
}

TEST_F(EngineUserns, IdsThatAreNotInItAreRefused) {
  std::string pod = *Run();
  ContainerConfig config = MinimalContainerConfig();
  config.security.run_as_user = kCount;
  ExpectError(Create(pod, config).error(), Code::kInvalidArgument, "user 65536 is not in the pod");
  config.security.run_as_user = 1;
  config.security.supplemental_groups = {70000};
  ExpectError(Create(pod, config).error(), Code::kInvalidArgument, "group 70000 is not in the pod");
  config = MinimalContainerConfig();
  MountConfig mount;
  mount.container_path = "/v", mount.host_path = "/h";
  mount.uid_mappings = mount.gid_mappings = {{1, 0, kCount}};
  config.mounts = {mount};
  ExpectError(Create(pod, config).error(), Code::kInvalidArgument, "not those of the pod");
  mount.uid_mappings = mount.gid_mappings = Mapped().uids;
  mount.propagation = MountConfig::Propagation::kBidirectional;
  world_.host.SetPropagation("/h", "shared");
  config.mounts = {mount};
  ExpectError(Create(pod, config).error(), Code::kInvalidArgument, "bidirectional");
  EXPECT_TRUE(world_.images.rootfs().empty());
}

TEST_F(EngineUserns, AFailureAtAnyStepLeavesNothing) {
  int n = 1;
  for (; n < 60; ++n) {
    world_.FailNth(n);
    auto pod = Run();
    if (!world_.fired()) break;
    SCOPED_TRACE(n);
    ASSERT_FALSE(pod);
    world_.ExpectNothingLeft();
  }
  EXPECT_GE(n, 7) << "steps were counted";
}

}  // namespace
}  // namespace berth::pod
