// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "pod/cgroup_path.h"
#include "pod/plan_sandbox.h"
#include "pod/testing/sample_records.h"
#include "pod/validate.h"

namespace berth::pod {
namespace {

const std::string kPod = TestId("a");

void Expect(const Error& error, Code code, std::string_view fragment) {
  EXPECT_EQ(error.code(), code) << error.message();
  EXPECT_NE(error.message().find(fragment), std::string::npos) << error.message();
}

Result<SandboxPlan> Plan(const SandboxConfig& config, const EngineConfig& engine = {}) {
  return PlanSandbox(kPod, config, "crun", {}, engine);
}

UserNamespace PodUserns(std::vector<IdMapping> map) { return {NamespaceMode::kPod, map, map}; }

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
      {[](C& c) { c.port_mappings = {{{}, 80, 81, "zz"}}; }, Code::kInvalidArgument,
       "\"zz\" is no address"},
      {[](C& c) { c.port_mappings = {{{}, 80, 81, "1.2.3.4/24"}}; }, Code::kInvalidArgument,
       "is no address"},
      {[](C& c) { c.port_mappings = {{{}, 80, 81, "01.2.3.4"}}; }, Code::kInvalidArgument,
       "is no address"},
      {[](C& c) { c.port_mappings = {{{}, 80, 81, "fe80::1%eth0"}}; }, Code::kInvalidArgument,
       "is no address"},
      {[](C& c) { c.overhead.emplace().cpu_period = -1; }, Code::kInvalidArgument,
       "overhead: cpu_period is negative"},
      {[](C& c) { c.resources.emplace().cpu_shares = -1; }, Code::kInvalidArgument,
       "cpu_shares is negative"},
      {[](C& c) { c.security.namespaces.network = NamespaceMode::kContainer; },
       Code::kInvalidArgument, "network"},
      {[](C& c) { c.security.namespaces.pid = NamespaceMode::kTarget; }, Code::kInvalidArgument,
       "TARGET"},
      {[](C& c) { c.security.namespaces.userns = UserNamespace{NamespaceMode::kPod, {}, {}}; },
       Code::kInvalidArgument, "exactly one"},
      {[](C& c) { c.security.namespaces.userns = PodUserns({{65536, 0, 9}, {9, 9, 9}}); },
       Code::kInvalidArgument, "exactly one"},
      {[](C& c) { c.security.namespaces.userns = PodUserns({{65536, 1, 65536}}); },
       Code::kInvalidArgument, "container id 0 is not mapped"},
      {[](C& c) { c.security.namespaces.userns = PodUserns({{65536, 0, 0xffffffff}}); },
       Code::kInvalidArgument, "out of range"},
      {[](C& c) { c.security.namespaces.userns = PodUserns({{65536, 0, 0}}); },
       Code::kInvalidArgument, "out of range"},
      {[](C& c) { c.security.namespaces.userns = PodUserns({{0, 0, 65536}}); },
       Code::kInvalidArgument, "host's root"},
      {[](C& c) {
         c.security.namespaces.userns = PodUserns({{65536, 0, 65536}});
         c.security.namespaces.userns->gids[0].length = 1;
       },
       Code::kInvalidArgument, "differ"},
      {[](C& c) {
         c.security.namespaces.userns = PodUserns({{65536, 0, 65536}});
         c.security.namespaces.pid = NamespaceMode::kNode;
       },
       Code::kInvalidArgument, "host's pid or ipc"},
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

TEST(CgroupPath, Forms) {
  EXPECT_EQ(PlanPodCgroup("/kubepods/burstable/p1", "/berth", kPod, false)->path,
            "/kubepods/burstable/p1");
  EXPECT_FALSE(PlanPodCgroup("/kubepods/burstable/p1", "/berth", kPod, false)->owned);
  EXPECT_EQ(PlanPodCgroup("/", "/berth", kPod, false)->path, "/");
  EXPECT_EQ(PlanPodCgroup("", "/berth", kPod, false)->path, "/berth/" + kPod);
  EXPECT_EQ(PlanPodCgroup("/kubepods.slice/kubepods-pod1.slice", "/berth", kPod, true)->path,
            "kubepods-pod1.slice");
  EXPECT_EQ(PlanPodCgroup("", "/berth", kPod, true)->path, "system.slice");
  EXPECT_EQ(ContainerCgroupsPath("/", "c", {}), "/c");
  EXPECT_EQ(ContainerCgroupsPath("/p", "c", {}), "/p/c");
  EXPECT_EQ(ContainerCgroupsPath("p.slice", "c", {.systemd = true}), "p.slice:berth:c");
  EXPECT_EQ(ContainerCgroupsPath("/p", "c", {.for_cadvisor = true}), "/p/crio-c");
  EXPECT_EQ(ContainerCgroupsPath("p.slice", "c", {.systemd = true, .for_cadvisor = true}),
            "p.slice:crio:c");
  EXPECT_EQ(NetworkCgroup("/p", "s", false), "/p/crio-s.scope");
  EXPECT_EQ(NetworkCgroup("kubepods-p.slice", "s", true),
            "/kubepods.slice/kubepods-p.slice/crio-s.scope");
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

}  // namespace
}  // namespace berth::pod
