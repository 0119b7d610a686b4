// SPDX-License-Identifier: Apache-2.0
#include "oci/build_spec_parts.h"
#include "oci/capabilities.h"
#include "oci/testing/expect_error.h"
#include "oci/testing/sample_plans.h"

namespace berth::oci {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = PlanNamespace::Kind;
using Words = std::vector<std::string>;

constexpr Code kInvalid = Code::kInvalidArgument;

PlanCapabilities Wish(Words add, Words drop, Words ambient = {}) {
  PlanCapabilities plan;
  plan.add = std::move(add);
  plan.drop = std::move(drop);
  plan.add_ambient = std::move(ambient);
  plan.available = testing::AllCapabilities();
  return plan;
}

TEST(CapabilitiesTest, MergesInTheOrderAllThenSingles) {
  struct Case {
    Words add, drop, want;
  };
  const std::vector<Case> cases = {
      {{}, {"ALL"}, {}},
      {{"NET_ADMIN"}, {"all"}, {"CAP_NET_ADMIN"}},
      {{"ALL"}, {"ALL"}, {}},
      {{"ALL", "KILL"}, {"ALL"}, {"CAP_KILL"}},
      {{"cap_kill", "KILL", "CAP_CHOWN"}, {"ALL"}, {"CAP_CHOWN", "CAP_KILL"}},
      {{"KILL"}, {"ALL", "KILL"}, {}}};
  for (const Case& c : cases) {
    EXPECT_EQ(BuildCapabilities(Wish(c.add, c.drop), false)->bounding, c.want);
  }
  EXPECT_EQ(BuildCapabilities(Wish({"ALL"}, {"SYS_ADMIN"}), false)->bounding.size(), 40u);
  EXPECT_EQ(BuildCapabilities(Wish({}, {}), false)->bounding.size(), 14u);
  EXPECT_EQ(BuildCapabilities(Wish({"SYS_TIME"}, {"MKNOD"}), false)->bounding.size(), 14u);
}

TEST(CapabilitiesTest, InheritableAndAmbientAreEmptyUnlessAskedFor) {
  CapabilitySets sets = *BuildCapabilities(Wish({"ALL"}, {}), false);
  EXPECT_THAT(sets.inheritable, IsEmpty());
  EXPECT_THAT(sets.ambient, IsEmpty());
  EXPECT_EQ(sets.effective, sets.bounding);
  EXPECT_EQ(sets.permitted, sets.bounding);
  sets = *BuildCapabilities(Wish({}, {"ALL", "KILL"}, {"NET_RAW", "KILL"}), false);
  EXPECT_THAT(sets.ambient, ElementsAre("CAP_NET_RAW"));
  EXPECT_THAT(sets.inheritable, ElementsAre("CAP_NET_RAW"));
  EXPECT_THAT(sets.bounding, ElementsAre("CAP_NET_RAW"));
}

TEST(CapabilitiesTest, PrivilegedAndAllMeanTheDaemonsOwnSet) {
  PlanCapabilities plan = Wish({}, {"ALL"});
  plan.available = {"CAP_CHOWN", "CAP_SYS_ADMIN"};
  EXPECT_EQ(BuildCapabilities(plan, true)->effective, plan.available);
  plan = Wish({"ALL"}, {});
  plan.available = {"CAP_CHOWN", "CAP_SYS_ADMIN"};
  EXPECT_EQ(BuildCapabilities(plan, false)->effective, plan.available);
}

TEST(CapabilitiesTest, RefusesWhatIsUnknownOrNotThere) {
  EXPECT_FAILS(BuildCapabilities(Wish({"NOPE"}, {}), false), kInvalid,
               "unknown capability \"NOPE\"");
  EXPECT_FAILS(BuildCapabilities(Wish({}, {"CAP_"}), false), kInvalid, "drop capabilities");
  PlanCapabilities plan = Wish({"SYS_ADMIN"}, {});
  plan.available = {"CAP_CHOWN"};
  EXPECT_FAILS(BuildCapabilities(plan, false), Code::kFailedPrecondition, "CAP_SYS_ADMIN");
  plan.available.clear();
  EXPECT_FAILS(BuildCapabilities(plan, true), Code::kInternal, "bounding set");
}

TEST(NamespacesTest, HostIsLeftOutAndAPathIsKept) {
  PlanNamespaces namespaces;
  namespaces.pid.kind = Kind::kHost;
  namespaces.network = {Kind::kPath, "/run/netns/a"};
  std::vector<SpecNamespace> out = *BuildNamespaces(namespaces);
  EXPECT_THAT(out, ElementsAre(SpecNamespace{"network", "/run/netns/a"}, SpecNamespace{"ipc", ""},
                               SpecNamespace{"uts", ""}, SpecNamespace{"mount", ""},
                               SpecNamespace{"cgroup", ""}));
}

TEST(NamespacesTest, RefusesWhatCannotBe) {
  PlanNamespaces namespaces;
  namespaces.mount.kind = Kind::kHost;
  EXPECT_FAILS(BuildNamespaces(namespaces), kInvalid, "mount namespace");
  namespaces = {};
  namespaces.network = {Kind::kPath, "run/x"};
  EXPECT_FAILS(BuildNamespaces(namespaces), kInvalid, "network namespace");
  namespaces = {};
  namespaces.user.kind = Kind::kNew;
  EXPECT_FAILS(BuildNamespaces(namespaces), kInvalid, "no uid mappings");
  namespaces.uid_mappings = {{0, 0xffffff00, 0x1000}};
  EXPECT_FAILS(BuildNamespaces(namespaces), kInvalid, "out of range");
  namespaces.pid.kind = Kind::kHost;
  EXPECT_FAILS(BuildNamespaces(namespaces), kInvalid, "host's pid or ipc");
}

TEST(HiddenPathsTest, EmptyMeansUnmaskedAndAnythingElseIsUnitedWithOurs) {
  ContainerPlan plan = testing::OrdinaryPlan();
  plan.masked_paths = {"/x/"};
  plan.readonly_paths = {};
  HiddenPaths hidden = *BuildHiddenPaths(plan);
  EXPECT_EQ(hidden.masked[0], "/x");
  EXPECT_THAT(hidden.masked, Contains("/proc/kcore"));
  EXPECT_THAT(hidden.masked, Contains("/sys/devices/system/cpu/cpu0/thermal_throttle"));
  EXPECT_THAT(hidden.readonly, IsEmpty());
  plan.masked_paths = {};
  EXPECT_THAT(BuildHiddenPaths(plan)->masked, IsEmpty());
  plan.readonly_paths = {"/"};
  EXPECT_FAILS(BuildHiddenPaths(plan), kInvalid, "not absolute");
}

TEST(SysctlsTest, OnlyOfNamespacesThatThePodHas) {
  ContainerPlan plan = testing::OrdinaryPlan();
  plan.sysctls = {{"net.ipv4.ping_group_range", "0 2147483647"}, {"kernel.shmmax", "1"}};
  EXPECT_EQ(*BuildSysctls(plan), plan.sysctls);
  plan.namespaces.ipc.kind = Kind::kHost;
  EXPECT_FAILS(BuildSysctls(plan), kInvalid, "sysctl kernel.shmmax: would be set for the whole");
  plan.sysctls = {{"kernel.core_pattern", "x"}};
  EXPECT_FAILS(BuildSysctls(plan), kInvalid, "whole node");
  plan.sysctls = {{"net.a=b", "x"}};
  EXPECT_FAILS(BuildSysctls(plan), kInvalid, "sysctl name");
  plan.sysctls = {{"net.a/../b", "x"}};
  EXPECT_FAILS(BuildSysctls(plan), kInvalid, "sysctl name");
  plan.sysctls = {{"net.core.somaxconn", "1\n2"}};
  EXPECT_FAILS(BuildSysctls(plan), kInvalid, "not one line");
}

TEST(AnnotationsTest, NeverPassesWhatARuntimeActsOn) {
  for (const char* key : {"run.oci.hooks.stderr", "org.systemd.property.ExecStartPre", "bundle",
                          "org.criu.config", "krun.ram_mib", "io.kubernetes.cri.container-type"}) {
    ContainerPlan plan = testing::OrdinaryPlan();
    plan.annotations = {{key, "x"}};
    EXPECT_FAILS(BuildAnnotations(plan), kInvalid, "reserved");
    plan.annotations.clear();
    plan.runtime_annotations = {{key, "ours"}};
    EXPECT_EQ(BuildAnnotations(plan)->at(key), "ours");
  }
}

TEST(CgroupsPathTest, IsCleanOrASystemdName) {
  EXPECT_TRUE(CheckCgroupsPath("/kubepods/pod1/abc").has_value());
  EXPECT_TRUE(CheckCgroupsPath("kubepods-pod1.slice:berth:abc").has_value());
  for (const char* path : {"", "/a/../b", "/a//b", "a/b", "a:b", "a:b:", "../x:b:c", "/"}) {
    EXPECT_FAILS(CheckCgroupsPath(path), kInvalid, "cgroup path");
  }
}

TEST(ResourcesTest, WithoutASwapLimitThereIsNoSwap) {
  PlanResources plan;
  plan.memory_limit = 1 << 20;
  EXPECT_EQ(BuildResources(plan, true)->memory.swap, 1 << 20);
  plan.memory_swap_limit = 2 << 20;
  EXPECT_EQ(BuildResources(plan, true)->memory.swap, 2 << 20);
  plan.swap_controller = false;
  EXPECT_EQ(BuildResources(plan, true)->memory.swap, std::nullopt);
  plan.swap_controller = true;
  plan.memory_swap_limit = 1;
  EXPECT_FAILS(BuildResources(plan, true), kInvalid, "below the memory limit");
}

TEST(ResourcesTest, RefusesNumbersThatTheKernelWould) {
  PlanResources plan;
  plan.cpu_quota = 999;
  EXPECT_FAILS(BuildResources(plan, true), kInvalid, "cpu quota");
  plan = {};
  plan.cpu_period = 1'000'001;
  EXPECT_FAILS(BuildResources(plan, true), kInvalid, "cpu period");
  plan = {};
  plan.unified = {{"memory.high", "1"}};
  EXPECT_FAILS(BuildResources(plan, false), kInvalid, "cgroup v2");
  for (const char* key : {"../memory.max", "cgroup.procs", "memory", ".x"}) {
    plan.unified = {{key, "1"}};
    EXPECT_FAILS(BuildResources(plan, true), kInvalid, "controller's file");
  }
  plan = {};
  plan.hugepage_limits = {{"2MiB", 0}};
  EXPECT_FAILS(BuildResources(plan, true), kInvalid, "hugepage size");
}

TEST(ResourcesTest, CpuListsAreBounded) {
  EXPECT_TRUE(CheckCpuList("0-3,7", 8191, "cpus").has_value());
  for (const char* list : {"1-9999999999", "3-1", "1,1", "1,,2", "-1", "a", "1-", "2,1"}) {
    EXPECT_FAILS(CheckCpuList(list, 8191, "cpus"), kInvalid, "cpus");
  }
}

TEST(DevicesTest, OnlyWhatWasAskedForIsAllowed) {
  ContainerPlan plan = testing::ReadOnlyPlan();
  std::vector<DeviceRule> rules = *BuildDeviceRules(plan);
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_FALSE(rules[0].allow);
  EXPECT_EQ(rules[0].access, "rwm");
  EXPECT_TRUE(rules[1].allow);
  EXPECT_EQ(rules[1].minor, 229);
  plan.devices[0].access = "rx";
  EXPECT_FAILS(BuildDevices(plan), kInvalid, "device \"/dev/fuse\": access");
  plan = testing::PrivilegedPlan();
  std::vector<SpecDevice> devices = *BuildDevices(plan);
  for (const SpecDevice& device : devices) EXPECT_NE(device.path, "/dev/ptmx");
}

}  // namespace
}  // namespace berth::oci
