// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "pod/cgroup_path.h"
#include "pod/plan_container.h"
#include "pod/plan_sandbox.h"
#include "pod/plan_security.h"
#include "pod/testing/sample_records.h"
#include "pod/validate.h"

namespace berth::pod {
namespace {

const std::string kPod = TestId("a");
const std::string kContainer = TestId("c");

void Expect(const Error& error, Code code, std::string_view fragment) {
  EXPECT_EQ(error.code(), code) << error.message();
  EXPECT_NE(error.message().find(fragment), std::string::npos) << error.message();
}

Result<SandboxPlan> Plan(const SandboxConfig& config, const EngineConfig& engine = {}) {
  return PlanSandbox(kPod, config, "crun", {}, engine);
}

// --- pods

TEST(PlanSandbox, AnOrdinaryPodHasItsOwnNamespacesAndGroup) {
  auto plan = Plan(MinimalSandboxConfig());
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_FALSE(plan->host_network);
  EXPECT_TRUE(plan->spec.new_ipc_namespace);
  EXPECT_TRUE(plan->spec.new_uts_namespace);
  EXPECT_FALSE(plan->spec.shared_pid_namespace);
  EXPECT_EQ(plan->spec.hostname, "web");
  EXPECT_EQ(plan->cgroup_path, "/berth/" + kPod);
  EXPECT_TRUE(plan->owns_cgroup);
  EXPECT_FALSE(plan->spec.resolv_conf);
}

TEST(PlanSandbox, HostNamespaces) {
  SandboxConfig config = MinimalSandboxConfig();
  config.security.namespaces.network = NamespaceMode::kNode;
  config.security.namespaces.ipc = NamespaceMode::kNode;
  config.security.namespaces.pid = NamespaceMode::kNode;
  auto plan = Plan(config);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->host_network);
  EXPECT_FALSE(plan->spec.new_uts_namespace);
  EXPECT_FALSE(plan->spec.new_ipc_namespace);
  EXPECT_FALSE(plan->spec.shared_pid_namespace);
  EXPECT_EQ(plan->spec.shm_bytes, 0);
  EXPECT_EQ(plan->spec.hostname, "");
  config = MinimalSandboxConfig();
  config.security.namespaces.pid = NamespaceMode::kPod;
  EXPECT_TRUE(Plan(config)->spec.shared_pid_namespace);
}

TEST(PlanSandbox, ResolvConfIsWrittenFromTheDnsConfig) {
  EXPECT_EQ(*ResolvConf(DnsConfig{{"10.0.0.1", "10.0.0.2"}, {"a.b", "c"}, {"ndots:5"}}),
            "search a.b c\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:5\n");
  EXPECT_FALSE(ResolvConf(std::nullopt));
  EXPECT_FALSE(ResolvConf(DnsConfig{}));
}

TEST(PlanSandbox, PortsReachTheNetwork) {
  SandboxConfig config = MinimalSandboxConfig();
  config.port_mappings = {{PortMapping::Protocol::kUdp, 53, 5353, "127.0.0.1"}};
  auto plan = Plan(config);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->network.port_mappings.size(), 1u);
  EXPECT_EQ(plan->network.port_mappings[0].protocol, "udp");
  EXPECT_EQ(plan->network.port_mappings[0].host_port, 5353);
  EXPECT_EQ(plan->network.pod_uid, "uid-web");
}

TEST(PlanSandbox, WhatMayNotBeAskedIsRefused) {
  using C = SandboxConfig;
  struct {
    std::function<void(C&)> change;
    Code code;
    const char* fragment;
  } cases[] = {
      {[](C& c) { c.metadata.name = ""; }, Code::kInvalidArgument, "name is empty"},
      {[](C& c) { c.metadata.ns = ""; }, Code::kInvalidArgument, "namespace is empty"},
      {[](C& c) { c.metadata.uid = ""; }, Code::kInvalidArgument, "uid is empty"},
      {[](C& c) { c.hostname = "a\nb"; }, Code::kInvalidArgument, "hostname"},
      {[](C& c) { c.hostname = std::string(65, 'a'); }, Code::kInvalidArgument, "hostname"},
      {[](C& c) { c.dns = DnsConfig{{"1.1.1.1\nx"}, {}, {}}; }, Code::kInvalidArgument, "dns"},
      {[](C& c) { c.log_directory = "logs"; }, Code::kInvalidArgument, "log_directory"},
      {[](C& c) { c.log_directory = "/a/../b"; }, Code::kInvalidArgument, "log_directory"},
      {[](C& c) { c.port_mappings = {{{}, 80, 70000, ""}}; }, Code::kInvalidArgument, "host port"},
      {[](C& c) { c.security.namespaces.network = NamespaceMode::kContainer; },
       Code::kInvalidArgument, "network"},
      {[](C& c) { c.security.namespaces.pid = NamespaceMode::kTarget; }, Code::kInvalidArgument,
       "TARGET"},
      {[](C& c) { c.security.namespaces.userns = UserNamespace{NamespaceMode::kPod, {}, {}}; },
       Code::kUnimplemented, "user namespaces"},
      {[](C& c) {
         c.security.namespaces.userns = UserNamespace{NamespaceMode::kContainer, {}, {}};
       },
       Code::kInvalidArgument, "userns_options"},
      {[](C& c) { c.security.run_as_group = 5; }, Code::kInvalidArgument, "run_as_group"},  // U11
      {[](C& c) { c.security.selinux = SeLinuxOptions{"", "", "t", ""}; }, Code::kInvalidArgument,
       "SELinux"},
      {[](C& c) { c.cgroup_parent = "/a/../b"; }, Code::kInvalidArgument, "cgroup_parent"},
  };
  for (auto& c : cases) {
    SandboxConfig config = MinimalSandboxConfig();
    c.change(config);
    auto plan = Plan(config);
    ASSERT_FALSE(plan) << c.fragment;
    Expect(plan.error(), c.code, c.fragment);
  }
  SandboxConfig config = MinimalSandboxConfig();
  config.security.namespaces.userns.emplace();  // NODE
  EXPECT_TRUE(Plan(config));
}

TEST(Sysctls, AreSortedByNamespace) {
  auto split = SplitPodSysctls({{"net.core.somaxconn", "512"},
                                {"net/ipv4/ip_local_port_range", "1024 65000"},
                                {"kernel.shm_rmid_forced", "1"},
                                {"kernel.sem", "1 2 3 4"},
                                {"fs.mqueue.msg_max", "10"}},
                               false, false);
  ASSERT_TRUE(split) << split.error().message();
  EXPECT_EQ(split->net.at("net.ipv4.ip_local_port_range"), "1024 65000");
  EXPECT_EQ(split->net.size(), 2u);
  EXPECT_EQ(split->ipc.size(), 3u);
}

TEST(Sysctls, WhatWouldReachTheHostIsRefused) {  // S7, S8
  struct {
    const char* name;
    const char* value;
    bool host_network, host_ipc;
  } cases[] = {
      {"net.core.somaxconn", "1", true, false},
      {"kernel.shmmax", "1", false, true},
      {"fs.mqueue.msg_max", "1", false, true},
      {"kernel.core_pattern", "x", false, false},
      {"kernel.hostname", "x", false, false},
      {"kernel.shm_rmid_forced", "1024 65000+kernel.core_pattern=|/x", false, false},
      {"kernel.shm=x", "1", false, false},
      {"net.ipv4/../../kernel/core_pattern", "1", false, false},
      {"net..x", "1", false, false},
      {"net.", "1", false, false},
      {"", "1", false, false},
      {"net.x", "", false, false},
      {"net.x", "1\n2", false, false},
  };
  for (const auto& c : cases) {
    auto split = SplitPodSysctls({{c.name, c.value}}, c.host_network, c.host_ipc);
    ASSERT_FALSE(split) << c.name;
    Expect(split.error(), Code::kInvalidArgument, "sysctl");
  }
}

TEST(CgroupPath, Forms) {  // FEATURES 4
  EXPECT_EQ(PlanPodCgroup("/kubepods/burstable/p1", "/berth", kPod, false)->path,
            "/kubepods/burstable/p1");
  EXPECT_FALSE(PlanPodCgroup("/kubepods/burstable/p1", "/berth", kPod, false)->owned);
  EXPECT_EQ(PlanPodCgroup("/", "/berth", kPod, false)->path, "/");
  EXPECT_EQ(PlanPodCgroup("", "/berth", kPod, false)->path, "/berth/" + kPod);
  EXPECT_EQ(PlanPodCgroup("/kubepods.slice/kubepods-pod1.slice", "/berth", kPod, true)->path,
            "kubepods-pod1.slice");
  EXPECT_EQ(PlanPodCgroup("", "/berth", kPod, true)->path, "system.slice");
  EXPECT_EQ(ContainerCgroupsPath("/", "c", false), "/c");
  EXPECT_EQ(ContainerCgroupsPath("/p", "c", false), "/p/c");
  EXPECT_EQ(ContainerCgroupsPath("p.slice", "c", true), "p.slice:berth:c");
}

TEST(CgroupPath, WhatIsNoPathIsRefused) {  // S22
  for (const char* parent : {"..", "/a/..", "/a//b", "//", "/a/.", "/a:b", "/a b", "/a\nb"}) {
    EXPECT_FALSE(PlanPodCgroup(parent, "/berth", kPod, false)) << parent;
  }
  for (const char* parent : {"/kubepods/pod1", "/", "/.slice"}) {
    EXPECT_FALSE(PlanPodCgroup(parent, "/berth", kPod, true)) << parent;
  }
}

TEST(StopSignal, Names) {
  EXPECT_EQ(*ParseStopSignal(""), 15);
  EXPECT_EQ(*ParseStopSignal("SIGINT"), 2);
  EXPECT_EQ(*ParseStopSignal("INT"), 2);
  EXPECT_EQ(*ParseStopSignal("9"), 9);
  EXPECT_EQ(*ParseStopSignal("SIGRTMIN+3"), 37);
  EXPECT_EQ(*ParseStopSignal("RTMAX-1"), 63);
  for (const char* text : {"0", "65", "-1", "9x", "SIGFOO", "SIGRTMIN+31", "sigterm"}) {
    EXPECT_FALSE(ParseStopSignal(text)) << text;
  }
}

// --- containers

struct Inputs {
  Inputs() {
    sandbox.id = kPod;
    sandbox.config = MinimalSandboxConfig();
    sandbox.handler = "crun";
    sandbox.cgroup_path = "/kubepods/p";
    sandbox.handle = runtime::SandboxHandle{1, "/ipc", "/uts", "", 0, "/shm", "/r", "/h", "/n"};
    facts.cgroup_v2 = true;
    facts.capabilities = {"CAP_CHOWN", "CAP_KILL"};
  }
  Result<oci::ContainerPlan> Plan() {
    ContainerInputs in{sandbox,   config, image,  user, facts, engine, kContainer,
                       "/rootfs", "/net", mounts, {},   {},    target};
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
  in.sandbox.handle = runtime::SandboxHandle{1, "", "", "", 0, "", "/r", "/h", "/n"};
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
  MountConfig image_volume;
  image_volume.container_path = "/v", image_volume.image = "i", image_volume.readonly = true;
  MountConfig rro;
  rro.container_path = "/v", rro.host_path = "/h", rro.recursive_readonly = true;
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
      {[](C& c) { c.cdi_devices = {"v/c=d"}; }, Code::kUnimplemented, "CDI"},
      {[=](C& c) { c.mounts = {image_volume}; }, Code::kUnimplemented, "image volumes"},
      {[=](C& c) { c.mounts = {rro}; }, Code::kInvalidArgument, "recursive_read_only"},  // rule 37
      {[](C& c) { c.devices = {{"", "/dev/x", "rwx"}}; }, Code::kInvalidArgument, "permissions"},
      {[](C& c) { c.security.seccomp = SecurityProfile{T::kLocalhost, ""}; },
       Code::kInvalidArgument, "localhost_ref"},  // S17
      {[](C& c) { c.security.seccomp = SecurityProfile{T::kUnconfined, "/p"}; },
       Code::kInvalidArgument, "localhost_ref"},
      {[](C& c) { c.security.apparmor = SecurityProfile{T::kRuntimeDefault, ""}; },
       Code::kInvalidArgument, "without AppArmor"},
      {[](C& c) { c.security.selinux = SeLinuxOptions{"", "", "t", ""}; }, Code::kInvalidArgument,
       "without SELinux"},
      {[](C& c) { c.security.namespaces.userns = UserNamespace{NamespaceMode::kPod, {}, {}}; },
       Code::kUnimplemented, "user namespaces"},
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
