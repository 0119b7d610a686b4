// SPDX-License-Identifier: Apache-2.0
#include "oci/build_spec.h"

#include <algorithm>

#include "oci/build_spec_parts.h"
#include "oci/testing/expect_error.h"
#include "oci/testing/sample_plans.h"

namespace berth::oci {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = PlanNamespace::Kind;
using Words = std::vector<std::string>;

constexpr Code kInvalid = Code::kInvalidArgument;

TEST(BuildSpecTest, NamesTheContainerInItsErrors) {
  ContainerPlan plan = testing::OrdinaryPlan();
  plan.cgroups_path = "/kubepods/../system.slice";
  EXPECT_FAILS(BuildSpec(plan), kInvalid, "container \"web\": cgroup path");
}

TEST(BuildSpecTest, RefusesAnIdThatIsNotOurs) {
  ContainerPlan plan = testing::OrdinaryPlan();
  plan.id = "../x";
  EXPECT_FAILS(BuildSpec(plan), kInvalid, "container id");
}

TEST(BuildSpecTest, SetsHostnameInAnyUtsNamespaceButTheHosts) {
  ContainerPlan plan = testing::OrdinaryPlan();
  EXPECT_EQ(plan.namespaces.uts.kind, Kind::kPath);
  EXPECT_EQ(BuildSpec(plan)->hostname, "web-0");
  plan.namespaces.uts = {Kind::kNew, ""};
  EXPECT_EQ(BuildSpec(plan)->hostname, "web-0");
  plan.namespaces.uts = {Kind::kHost, ""};
  EXPECT_EQ(BuildSpec(plan)->hostname, "");
}

TEST(BuildSpecTest, PrivilegedHasNoFilterNoMasksAndWritableSys) {
  Spec spec = *BuildSpec(testing::PrivilegedPlan());
  EXPECT_FALSE(spec.linux.seccomp.has_value());
  EXPECT_EQ(spec.process.apparmor_profile, "");
  EXPECT_THAT(spec.linux.masked_paths, IsEmpty());
  EXPECT_THAT(spec.linux.readonly_paths, IsEmpty());
  ASSERT_EQ(spec.linux.resources.devices.size(), 1u);
  EXPECT_TRUE(spec.linux.resources.devices[0].allow);
  for (const SpecMount& mount : spec.mounts) {
    if (mount.destination.starts_with("/sys")) {
      EXPECT_THAT(mount.options, Not(Contains("ro")));
    }
  }
}

TEST(BuildArgsTest, FollowsTheCriRuleForCommandAndArgs) {
  struct Case {
    Words entrypoint, cmd, command, args, want;
  };
  const std::vector<Case> cases = {
      {{"e"}, {"c"}, {}, {}, {"e", "c"}},        {{"e"}, {"c"}, {"x"}, {}, {"x"}},
      {{"e"}, {"c"}, {}, {"a"}, {"e", "a"}},     {{"e"}, {"c"}, {"x"}, {"a"}, {"x", "a"}},
      {{}, {"c", "d"}, {}, {}, {"c", "d"}},      {{}, {"c"}, {}, {"a"}, {"a"}},
      {{"e"}, {}, {}, {"", "b"}, {"e", "", "b"}}};
  for (const Case& c : cases) {
    PlanImageProcess image{c.entrypoint, c.cmd, {}, ""};
    PlanProcess process;
    process.command = c.command;
    process.args = c.args;
    EXPECT_EQ(*BuildArgs(image, process), c.want);
  }
}

TEST(BuildArgsTest, RefusesNothingToRun) {
  EXPECT_FAILS(BuildArgs({}, {}), kInvalid, "no command");
  PlanProcess process;
  process.command = {""};
  EXPECT_FAILS(BuildArgs({}, process), kInvalid, "name is empty");
  process.command = {std::string("a\0b", 3)};
  EXPECT_FAILS(BuildArgs({}, process), kInvalid, "zero byte");
}

TEST(BuildEnvTest, RequestWinsOverHostnameWinsOverImage) {
  PlanImageProcess image;
  image.env = {"A=1", "HOSTNAME=img", "B=2", "broken", "=x"};
  PlanProcess process;
  process.env = {{"B", "3"}, {"C", "a=b"}};
  process.home = "/root";
  process.tty = true;
  EXPECT_THAT(*BuildEnv(image, process, "pod"),
              ElementsAre("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                          "A=1", "HOSTNAME=pod", "B=3", "C=a=b", "HOME=/root", "TERM=xterm"));
  process.env = {{"HOSTNAME", "mine"}, {"HOME", "/h"}, {"TERM", "dumb"}, {"PATH", "/bin"}};
  EXPECT_THAT(*BuildEnv(image, process, "pod"),
              ElementsAre("PATH=/bin", "A=1", "HOSTNAME=mine", "B=2", "HOME=/h", "TERM=dumb"));
}

TEST(BuildEnvTest, RefusesNamesThatAreNone) {
  for (const std::string& name : {std::string(), std::string("A=B"), std::string("A\0B", 3)}) {
    PlanProcess process;
    process.env = {{name, "x"}};
    EXPECT_FAILS(BuildEnv({}, process, ""), kInvalid, "name");
  }
}

TEST(BuildUserTest, PrimaryGroupIsAlwaysAmongTheAdditionalOnes) {
  SpecUser user;
  user.gid = 10;
  EXPECT_THAT(BuildUser(user).additional_gids, ElementsAre(10));
  user.additional_gids = {20, 10, 20};
  EXPECT_THAT(BuildUser(user).additional_gids, ElementsAre(10, 20));
}

TEST(BuildProcessTest, OomScoreIsNeverInheritedFromTheMonitor) {
  ContainerPlan plan = testing::OrdinaryPlan();
  plan.resources.oom_score_adj.reset();
  EXPECT_EQ(*BuildOomScoreAdj(plan), 0);
  plan.resources.oom_score_adj = -997;
  EXPECT_EQ(*BuildOomScoreAdj(plan), -997);
  plan.min_oom_score_adj = -500;
  EXPECT_EQ(*BuildOomScoreAdj(plan), -500);
  plan.resources.oom_score_adj = 1001;
  EXPECT_FAILS(BuildOomScoreAdj(plan), kInvalid, "oom_score_adj");
}

TEST(BuildProcessTest, RefusesBadRlimits) {
  EXPECT_FAILS(BuildRlimits({{"RLIMIT_X", 1, 1}}), kInvalid, "unknown rlimit");
  EXPECT_FAILS(BuildRlimits({{"RLIMIT_CPU", 2, 1}}), kInvalid, "above hard");
  EXPECT_FAILS(BuildRlimits({{"RLIMIT_CPU", 1, 1}, {"RLIMIT_CPU", 1, 1}}), kInvalid, "twice");
}

TEST(BuildExecProcessTest, KeepsTheContainersConfinement) {
  Spec spec = *BuildSpec(testing::ReadOnlyPlan());
  SpecProcess exec = *BuildExecProcess(spec, {"sh"}, true);
  EXPECT_THAT(exec.args, ElementsAre("sh"));
  EXPECT_TRUE(exec.terminal);
  EXPECT_EQ(exec.user, spec.process.user);
  EXPECT_EQ(exec.capabilities, spec.process.capabilities);
  EXPECT_TRUE(exec.no_new_privileges);
  EXPECT_THAT(exec.env, Contains("TERM=xterm"));
  EXPECT_FAILS(BuildExecProcess(spec, {}, false), kInvalid, "exec: no command");
}

TEST(CleanContainerPathTest, StaysBelowTheRoot) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/a/b", "/a/b"}, {"a", "/a"},       {"/a//b/./c/", "/a/b/c"},
      {"/../..", "/"},  {"/a/../b", "/b"}, {"/", "/"}};
  for (const auto& [in, want] : cases) EXPECT_EQ(*CleanContainerPath(in), want) << in;
  EXPECT_FAILS(CleanContainerPath(""), kInvalid, "is empty");
  EXPECT_FAILS(CleanContainerPath(std::string_view("/a\0b", 4)), kInvalid, "zero byte");
}

}  // namespace
}  // namespace berth::oci
