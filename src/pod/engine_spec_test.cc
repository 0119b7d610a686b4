// SPDX-License-Identifier: Apache-2.0
// What CreateContainer looks up on the node and hands to the OCI runtime.
#include <gtest/gtest.h>

#include "oci/spec_json.h"
#include "pod/testing/engine_world.h"

namespace berth::pod {
namespace {

class EngineSpec : public ::testing::Test {
 protected:
  void SetUp() override {
    SandboxConfig config = MinimalSandboxConfig();
    config.security.privileged = true;
    pod_ = *world_.engine->RunPodSandbox({}, config, "");
  }
  Result<std::string> Create(const ContainerConfig& config) {
    return world_.engine->CreateContainer({}, pod_, config);
  }
  oci::Spec SpecOf(const std::string& id) {
    auto spec = oci::ParseSpec(world_.runtime.Containers().at(id).spec_json);
    EXPECT_TRUE(spec) << spec.error().message();
    return spec ? *spec : oci::Spec{};
  }
  World world_;
  std::string pod_;
};

std::set<std::string> DevicePaths(const oci::Spec& spec) {
  std::set<std::string> out;
  for (const auto& device : spec.linux.devices) out.insert(device.path);
  return out;
}

TEST_F(EngineSpec, ADirectoryOfDevicesKeepsItsNamesBelowTheContainersPath) {
  world_.host.AddDevice({"/dev/net/tun", 'c', 10, 200, 0600, 0, 0});
  ContainerConfig config = MinimalContainerConfig();
  config.devices = {{"/dev/vpn", "/dev/net", "rw"}};
  oci::Spec spec = SpecOf(*Create(config));
  EXPECT_TRUE(DevicePaths(spec).contains("/dev/vpn/tun"));
}

TEST_F(EngineSpec, AMissingDeviceIsNotFoundAndLeavesNothing) {
  ContainerConfig config = MinimalContainerConfig();
  config.devices = {{"", "/dev/absent", ""}};
  ExpectError(Create(config).error(), Code::kNotFound, "/dev/absent");
  EXPECT_TRUE(world_.images.rootfs().empty());
}

TEST_F(EngineSpec, AQuotaOfMinusOneIsNoneForANewGroup) {
  ContainerConfig config = MinimalContainerConfig();
  config.resources = LinuxResources{};
  config.resources->cpu_period = 100000;
  config.resources->cpu_quota = -1;
  oci::Spec spec = SpecOf(*Create(config));
  EXPECT_FALSE(spec.linux.resources.cpu.quota.has_value());
  EXPECT_EQ(spec.linux.resources.cpu.period, 100000U);
}

TEST_F(EngineSpec, APrivilegedContainerHasEveryDevice) {
  world_.host.AddDevice({"/dev/sda", 'b', 8, 0, 0660, 0, 6});
  ContainerConfig config = MinimalContainerConfig();
  config.security.privileged = true;
  EXPECT_TRUE(DevicePaths(SpecOf(*Create(config))).contains("/dev/sda"));
}

TEST_F(EngineSpec, Rule23AMountHasItsRealSourceAndTheStatusTheGivenOne) {
  world_.host.AddLink("/link", "/real");
  ContainerConfig config = MinimalContainerConfig();
  MountConfig mount;
  mount.container_path = "/data", mount.host_path = "/link";
  config.mounts = {mount};
  std::string id = *Create(config);
  bool found = false;
  for (const auto& m : SpecOf(id).mounts) found |= m.destination == "/data" && m.source == "/real";
  EXPECT_TRUE(found);
  EXPECT_EQ(world_.Status(id).mounts.at(0).host_path, "/link");
}

oci::SpecMount MountOn(const oci::Spec& spec, const std::string& path) {
  for (const auto& mount : spec.mounts) {
    if (mount.destination == path) return mount;
  }
  ADD_FAILURE() << "no mount on " << path;
  return {};
}

TEST_F(EngineSpec, AnImageVolumeIsBoundReadOnlyFromWhereTheMonitorAttachesIt) {
  ContainerConfig config = MinimalContainerConfig();
  MountConfig whole, part;
  whole.container_path = "/whole", whole.image = kImageId, whole.readonly = true;
  part = whole;
  part.container_path = "/part", part.image_sub_path = "a/b", part.mount_options = {"noexec"};
  config.mounts = {whole, part};
  std::string id = *Create(config);
  oci::Spec spec = SpecOf(id);
  EXPECT_EQ(MountOn(spec, "/whole").source, world_.runtime.VolumePath(pod_, id, 0));
  EXPECT_EQ(MountOn(spec, "/whole").options,
            (std::vector<std::string>{"rbind", "rprivate", "ro", "nosuid", "nodev"}));
  EXPECT_EQ(MountOn(spec, "/part").source, world_.runtime.VolumePath(pod_, id, 1) + "/a/b");
  EXPECT_EQ(MountOn(spec, "/part").options,
            (std::vector<std::string>{"rbind", "rprivate", "ro", "noexec", "nosuid", "nodev"}));
  EXPECT_EQ(world_.runtime.Containers().at(id).volumes, (std::vector<bool>{true, true}));
  ContainerStatus status = world_.Status(id);
  EXPECT_EQ(status.mounts.at(0).image, kImageId);
  EXPECT_EQ(status.mounts.at(0).image_ref, "docker.io/library/busybox@sha256:22");
  // The same call again is the same container.
  EXPECT_EQ(*Create(config), id);
  ASSERT_TRUE(world_.Restart());
  EXPECT_EQ(world_.Status(id).mounts.at(1).image_ref, "docker.io/library/busybox@sha256:22");
}

TEST_F(EngineSpec, AnImageVolumeThatCannotBeIsToldAsTheKubeletKnowsIt) {
  ContainerConfig config = MinimalContainerConfig();
  MountConfig mount;
  mount.container_path = "/v", mount.image = kImageId, mount.readonly = true;
  mount.image_sub_path = "missing";
  config.mounts = {mount};
  ExpectError(Create(config).error(), Code::kNotFound, "ImageVolumeMountFailed: mount \"/v\"");
  config.mounts[0].image = "absent";
  ExpectError(Create(config).error(), Code::kNotFound, "pull it first");
  EXPECT_TRUE(world_.images.rootfs().empty());
  EXPECT_TRUE(world_.runtime.Containers().empty());
}

TEST_F(EngineSpec, RecursiveReadOnlyIsGivenToARuntimeThatKnowsIt) {
  ContainerConfig config = MinimalContainerConfig();
  MountConfig mount;
  mount.container_path = "/v", mount.host_path = "/h";
  mount.readonly = mount.recursive_readonly = true;
  config.mounts = {mount};
  ExpectError(Create(config).error(), Code::kFailedPrecondition, "RROUnsupported");
  auto handlers = world_.runtime.Handlers();
  for (auto& handler : handlers) handler.recursive_read_only = true;
  world_.runtime.SetHandlers(handlers);
  oci::SpecMount made = MountOn(SpecOf(*Create(config)), "/v");
  EXPECT_EQ(made.options, (std::vector<std::string>{"rbind", "rprivate", "rro"}));
}

TEST_F(EngineSpec, ALocalhostSeccompProfileIsRead) {
  world_.host.AddProfile("/profiles/p.json", R"({"defaultAction":"SCMP_ACT_LOG"})");
  ContainerConfig config = MinimalContainerConfig();
  config.security.seccomp = SecurityProfile{SecurityProfile::Type::kLocalhost, "/profiles/p.json"};
  auto id = Create(config);
  ASSERT_TRUE(id) << id.error().message();
  EXPECT_EQ(SpecOf(*id).linux.seccomp->default_action, "SCMP_ACT_LOG");
  config.metadata.name = "other";
  config.security.seccomp->localhost_ref = "/profiles/absent.json";
  EXPECT_FALSE(Create(config));
}

TEST_F(EngineSpec, ATargetsPidNamespaceIsJoined) {
  std::string target = *world_.Create(pod_, "target");
  ContainerConfig config = MinimalContainerConfig("debugger");
  config.security.namespaces.pid = NamespaceMode::kTarget;
  config.security.namespaces.target_id = target;
  ExpectError(Create(config).error(), Code::kFailedPrecondition, "not running");
  ASSERT_TRUE(world_.engine->StartContainer({}, target));
  oci::Spec spec = SpecOf(*Create(config));
  std::string path = StrCat("/proc/", world_.Status(target).pid, "/ns/pid");
  bool found = false;
  for (const auto& ns : spec.linux.namespaces) found |= ns.type == "pid" && ns.path == path;
  EXPECT_TRUE(found);
}

TEST_F(EngineSpec, Rule26WithoutALogPathTheOutputIsDiscarded) {
  ContainerConfig config = MinimalContainerConfig();
  config.log_path = "";
  std::string id = *Create(config);
  EXPECT_EQ(world_.runtime.Containers().at(id).log_directory, "");
  EXPECT_EQ(world_.Status(id).log_path, "");
}

TEST_F(EngineSpec, TheUserIsResolvedAndToldInTheStatus) {
  ContainerConfig config = MinimalContainerConfig();
  config.security.run_as_user = 1000;
  config.security.run_as_group = 2000;
  std::string id = *Create(config);
  EXPECT_EQ(SpecOf(id).process.user.uid, 1000u);
  EXPECT_EQ(world_.Status(id).user.uid, 1000u);
  EXPECT_EQ(world_.Status(id).user.gid, 2000u);
  config.metadata.name = "other";
  config.security.run_as_user.reset();
  config.security.run_as_username = "nobody-knows";
  ExpectError(Create(config).error(), Code::kNotFound, "nobody-knows");
}

TEST_F(EngineSpec, Rule22LabelsAndAnnotationsComeBackByteForByte) {
  ContainerConfig config = MinimalContainerConfig();
  config.labels = {{"a", "\xc3\xa9 \"\n"}, {"", ""}};
  config.annotations = {{"io.x/y", "{\"z\":1}"}};
  std::string id = *Create(config);
  ASSERT_TRUE(world_.Restart());
  EXPECT_EQ(world_.Status(id).labels, config.labels);
  EXPECT_EQ(world_.Status(id).annotations, config.annotations);
  EXPECT_TRUE(SpecOf(id).annotations.empty()) << "nothing is allowed by default (S3)";
}

}  // namespace
}  // namespace berth::pod
