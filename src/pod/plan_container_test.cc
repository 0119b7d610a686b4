// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "pod/plan_container.h"
#include "pod/plan_security.h"
#include "pod/testing/sample_records.h"

namespace berth::pod {
namespace {

const std::string kPod = TestId("a");
const std::string kContainer = TestId("c");

void Expect(const Error& error, Code code, std::string_view fragment) {
  EXPECT_EQ(error.code(), code) << error.message();
  EXPECT_NE(error.message().find(fragment), std::string::npos) << error.message();
}

struct Inputs {
  Inputs() {
    sandbox.id = kPod;
    sandbox.config = MinimalSandboxConfig();
    sandbox.handler = "crun";
    sandbox.cgroup_path = "/kubepods/p";
    sandbox.handle = runtime::SandboxHandle{1, "", "/ipc", "/uts", "", 0, "/shm", "/r", "/h", "/n"};
    facts.cgroup_v2 = true;
    facts.capabilities = {"CAP_CHOWN", "CAP_KILL"};
  }
  Result<oci::ContainerPlan> Plan() {
    ContainerInputs in{sandbox, config, image, user, facts,  engine, kContainer, "/rootfs",
                       "/net",  mounts, {},    {},   target, {},     {}};
    return PlanContainer(in);
  }
  SandboxRecord sandbox;
  ContainerConfig config = MinimalContainerConfig();
  image::FoundImage image;
  image::ResolvedUser user;
  runtime::HostFacts facts;
  EngineConfig engine;
  std::vector<ResolvedMount> mounts;
  std::optional<TargetContainer> target;
};

using Kind = oci::PlanNamespace::Kind;

TEST(PlanContainer, SystemdDriverPutsItIntoAGroupInsideItsScope) {
  Inputs in;
  in.sandbox.cgroup_path = "kubepods-pod1.slice";
  in.engine.systemd_cgroup = true;
  auto plan = in.Plan();
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->cgroups_path, "kubepods-pod1.slice:berth:" + kContainer);
  auto spec = oci::BuildSpec(*plan);
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->annotations,
            (std::map<std::string, std::string>{{"run.oci.systemd.subgroup", "container"}}));
  in.engine.systemd_cgroup = false;
  EXPECT_TRUE(in.Plan()->runtime_annotations.empty());
}

TEST(PlanContainer, AnOrdinaryContainerJoinsItsPod) {
  Inputs in;
  in.user = {5, 6, {6, 7}, "u", "/home/u"};
  auto plan = in.Plan();
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->namespaces.network.path, "/net");
  EXPECT_EQ(plan->namespaces.ipc.path, "/ipc");
  EXPECT_EQ(plan->namespaces.uts.path, "/uts");
  EXPECT_EQ(plan->namespaces.pid.kind, Kind::kNew);
  EXPECT_EQ(plan->namespaces.cgroup.kind, Kind::kNew);
  EXPECT_EQ(plan->cgroups_path, "/kubepods/p/" + kContainer);
  EXPECT_EQ(plan->pod_files.shm, "/shm");
  EXPECT_EQ(plan->process.user.uid, 5u);
  EXPECT_EQ(plan->process.home, "/home/u");
  auto spec = oci::BuildSpec(*plan);
  EXPECT_TRUE(spec) << spec.error().message();
}

TEST(PlanContainer, PidModes) {
  Inputs in;
  in.config.security.namespaces.pid = NamespaceMode::kPod;
  EXPECT_EQ(in.Plan()->namespaces.pid.kind, Kind::kNew) << "the pod has none to share";
  in.sandbox.handle->pid_ns_path = "/proc/9/ns/pid";
  EXPECT_EQ(in.Plan()->namespaces.pid.path, "/proc/9/ns/pid");
  in.sandbox.config.security.namespaces.pid = NamespaceMode::kNode;
  EXPECT_EQ(in.Plan()->namespaces.pid.kind, Kind::kHost);
  in.config.security.namespaces.pid = NamespaceMode::kTarget;
  Expect(in.Plan().error(), Code::kInvalidArgument, "target_id");
  in.config.security.namespaces.target_id = "t";
  Expect(in.Plan().error(), Code::kInvalidArgument, "not a container of pod");
  in.target = TargetContainer{"other", true, 5};
  Expect(in.Plan().error(), Code::kInvalidArgument, "not a container of pod");
  in.target = TargetContainer{kPod, false, 5};
  Expect(in.Plan().error(), Code::kFailedPrecondition, "not running");
  in.target = TargetContainer{kPod, true, 5};
  EXPECT_EQ(in.Plan()->namespaces.pid.path, "/proc/5/ns/pid");
}

TEST(PlanContainer, InAPodWithTheHostsNamespacesItHasThemToo) {
  Inputs in;
  in.sandbox.config.security.namespaces.network = NamespaceMode::kNode;
  in.sandbox.config.security.namespaces.ipc = NamespaceMode::kNode;
  in.sandbox.handle = runtime::SandboxHandle{1, "", "", "", "", 0, "", "/r", "/h", "/n"};
  auto plan = in.Plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->namespaces.network.kind, Kind::kHost);
  EXPECT_EQ(plan->namespaces.ipc.kind, Kind::kHost);
  EXPECT_EQ(plan->namespaces.uts.kind, Kind::kHost);
  EXPECT_EQ(plan->pod_files.shm, "/dev/shm");
}

TEST(PlanContainer, MountsNeedTheHostsPropagation) {
  using P = MountConfig::Propagation;
  struct {
    P asked;
    const char* host;
    bool ok;
  } cases[] = {{P::kPrivate, "private", true},         {P::kBidirectional, "shared", true},
               {P::kBidirectional, "slave", false},    {P::kBidirectional, "private", false},
               {P::kHostToContainer, "shared", true},  {P::kHostToContainer, "slave", true},
               {P::kHostToContainer, "private", false}};
  for (const auto& c : cases) {
    Inputs in;
    MountConfig mount;
    mount.container_path = "/data", mount.host_path = "/srv", mount.propagation = c.asked;
    in.config.mounts = {mount};
    in.mounts = {{"/real/srv", c.host}};
    auto plan = in.Plan();
    EXPECT_EQ(plan.has_value(), c.ok) << c.host;
    if (plan) {
      EXPECT_EQ(plan->mounts[0].host_path, "/real/srv");
    } else {
      Expect(plan.error(), Code::kInvalidArgument, "propagation");
    }
  }
}

TEST(PlanContainer, TheKubeletsOwnHostsFileReplacesThePods) {
  Inputs in;
  MountConfig mount;
  mount.container_path = "/etc/hosts", mount.host_path = "/x";
  in.config.mounts = {mount};
  in.mounts = {{"/x", "private"}};
  EXPECT_EQ(in.Plan()->pod_files.hosts, "");
  EXPECT_EQ(in.Plan()->pod_files.resolv_conf, "/r");
}

TEST(PlanContainer, OnlyListedAnnotationsPassAndOnlyExactly) {  // S3, S4
  EngineConfig engine;
  engine.allowed_annotations["kata"] = {"a", "b"};
  StringMap pod = {{"a", "pod"}, {"b", "pod"}, {"ax", "1"}, {"a/x", "1"}, {"a.x", "1"}};
  EXPECT_EQ(AllowedAnnotations(engine, "kata", pod, {{"a", "container"}}),
            (StringMap{{"a", "container"}, {"b", "pod"}}));
  EXPECT_TRUE(AllowedAnnotations(engine, "crun", pod, {}).empty());
}

TEST(PlanContainer, WhatMayNotBeAskedIsRefused) {
  using C = ContainerConfig;
  using T = SecurityProfile::Type;
  MountConfig image_volume;  // rule 38
  image_volume.container_path = "/v", image_volume.image = "i", image_volume.readonly = true;
  MountConfig with_path = image_volume;
  with_path.host_path = "/h";
  MountConfig writable = image_volume;
  writable.readonly = false;
  MountConfig shared = image_volume;
  shared.propagation = MountConfig::Propagation::kBidirectional;
  MountConfig sub_path_only;
  sub_path_only.container_path = "/v", sub_path_only.host_path = "/h";
  sub_path_only.image_sub_path = "s";
  MountConfig odd_option;
  odd_option.container_path = "/v", odd_option.host_path = "/h";
  odd_option.mount_options = {"suid"};
  MountConfig rro;
  rro.container_path = "/v", rro.host_path = "/h", rro.recursive_readonly = true;  // rule 37
  MountConfig rro_shared = rro;
  rro_shared.readonly = true, rro_shared.propagation = MountConfig::Propagation::kHostToContainer;
  MountConfig rro_unknown = rro;
  rro_unknown.readonly = true;
  struct {
    std::function<void(C&)> change;
    Code code;
    const char* fragment;
  } cases[] = {
      {[](C& c) { c.metadata.name = ""; }, Code::kInvalidArgument, "name is empty"},
      {[](C& c) { c.image.image = ""; }, Code::kInvalidArgument, "image is empty"},
      {[](C& c) { c.log_path = "../x"; }, Code::kInvalidArgument, "log_path"},
      {[](C& c) { c.log_path = "/x"; }, Code::kInvalidArgument, "log_path"},
      {[](C& c) { c.log_path = "a//b"; }, Code::kInvalidArgument, "log_path"},
      {[](C& c) { c.security.privileged = true; }, Code::kInvalidArgument, "privileged sandbox"},
      {[](C& c) { c.security.run_as_group = 1; }, Code::kInvalidArgument, "run_as_group"},  // U11
      {[](C& c) { c.security.run_as_user = -1; }, Code::kInvalidArgument, "run_as_user"},
      {[](C& c) { c.cdi_devices = {"v=d"}; }, Code::kInvalidArgument, "is not vendor/class=name"},
      {[=](C& c) { c.mounts = {with_path}; }, Code::kInvalidArgument, "image and host_path"},
      {[=](C& c) { c.mounts = {writable}; }, Code::kInvalidArgument, "must be readonly"},
      {[=](C& c) { c.mounts = {shared}; }, Code::kInvalidArgument, "no propagation"},
      {[=](C& c) { c.mounts = {sub_path_only}; }, Code::kInvalidArgument, "without an image"},
      {[=](C& c) { c.mounts = {odd_option}; }, Code::kInvalidArgument, "\"suid\" is not allowed"},
      {[=](C& c) { c.mounts = {rro}; }, Code::kInvalidArgument, "recursive_read_only"},
      {[=](C& c) { c.mounts = {rro_shared}; }, Code::kInvalidArgument, "private propagation"},
      {[=](C& c) { c.mounts = {rro_unknown}; }, Code::kFailedPrecondition, "RROUnsupported"},
      {[](C& c) { c.devices = {{"", "/dev/x", "rwx"}}; }, Code::kInvalidArgument, "permissions"},
      {[](C& c) { c.security.seccomp = SecurityProfile{T::kLocalhost, ""}; },
       Code::kInvalidArgument, "localhost_ref"},  // S17
      {[](C& c) { c.security.seccomp = SecurityProfile{T::kUnconfined, "/p"}; },
       Code::kInvalidArgument, "localhost_ref"},
      {[](C& c) { c.security.apparmor = SecurityProfile{T::kLocalhost, "mine"}; },
       Code::kInvalidArgument, "without AppArmor"},
      {[](C& c) { c.security.selinux = SeLinuxOptions{"", "", "t", ""}; }, Code::kInvalidArgument,
       "without SELinux"},
      {[](C& c) { c.security.namespaces.userns = UserNamespace{NamespaceMode::kPod, {}, {}}; },
       Code::kInvalidArgument, "exactly one"},
      {[](C& c) {
         c.security.namespaces.userns =
             UserNamespace{NamespaceMode::kPod, {{65536, 0, 65536}}, {{65536, 0, 65536}}};
       },
       Code::kInvalidArgument, "not the pod's"},
      {[](C& c) { c.resources = LinuxResources{}, c.resources->cpu_shares = -1; },
       Code::kInvalidArgument, "cpu_shares"},
  };
  for (auto& c : cases) {
    Inputs in;
    c.change(in.config);
    in.mounts.resize(in.config.mounts.size());
    auto plan = in.Plan();
    ASSERT_FALSE(plan) << c.fragment;
    Expect(plan.error(), c.code, c.fragment);
  }
}

TEST(PlanSecurity, ApparmorProfiles) {
  SecurityContext security;
  runtime::HostFacts without, with;
  with.has_apparmor = true;
  const std::vector<std::string> loaded = {"berth-default", "mine"};
  auto plan = [&](const auto& facts, const auto& profiles) {
    return PlanApparmor(security, facts, profiles);
  };
  using Names = std::vector<std::string>;
  // Nothing said.
  EXPECT_EQ(*plan(without, Names()), "");
  EXPECT_EQ(*plan(with, Names()), "");
  EXPECT_EQ(*plan(with, loaded), "berth-default");
  security.apparmor = SecurityProfile{SecurityProfile::Type::kRuntimeDefault, ""};
  EXPECT_EQ(*plan(without, Names()), "");
  EXPECT_EQ(*plan(with, loaded), "berth-default");
  Expect(plan(with, Names()).error(), Code::kFailedPrecondition, "berth-default is not loaded");
  security.apparmor = SecurityProfile{SecurityProfile::Type::kUnconfined, ""};
  EXPECT_EQ(*plan(with, loaded), "");
  security.apparmor = SecurityProfile{SecurityProfile::Type::kLocalhost, "localhost/mine"};
  EXPECT_EQ(*plan(with, loaded), "mine");
  Expect(plan(with, Names()).error(), Code::kFailedPrecondition, "\"mine\" is not loaded");
  Expect(plan(without, loaded).error(), Code::kInvalidArgument, "without AppArmor");
  security.privileged = true;
  EXPECT_EQ(*plan(without, loaded), "");
}

TEST(PlanSecurity, SeccompKinds) {
  SecurityContext security;
  EXPECT_EQ(PlanSeccompProfile(security, {}, "")->kind, oci::PlanSeccomp::Kind::kUnconfined);
  security.seccomp.emplace();  // a present message without a type
  EXPECT_EQ(PlanSeccompProfile(security, {}, "")->kind, oci::PlanSeccomp::Kind::kRuntimeDefault);
  security.seccomp = SecurityProfile{SecurityProfile::Type::kLocalhost, "relative"};
  Expect(LocalhostSeccompPath(security).error(), Code::kInvalidArgument, "absolute");
  security.seccomp->localhost_ref = "localhost//p.json";
  EXPECT_EQ(*LocalhostSeccompPath(security), "/p.json");
}

}  // namespace
}  // namespace berth::pod
