// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "oci/build_spec_parts.h"
#include "oci/testing/expect_error.h"
#include "oci/testing/sample_plans.h"

namespace berth::oci {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;
using Kind = PlanNamespace::Kind;

constexpr Code kInvalid = Code::kInvalidArgument;

ContainerPlan With(std::vector<PlanMount> mounts) {
  ContainerPlan plan = testing::HostNamespacesPlan();
  plan.mounts = std::move(mounts);
  return plan;
}

PlanMount Volume(std::string container, std::string host = "/srv") {
  PlanMount mount;
  mount.container_path = std::move(container);
  mount.host_path = std::move(host);
  return mount;
}

std::vector<std::string> Destinations(const std::vector<SpecMount>& mounts) {
  std::vector<std::string> out;
  for (const SpecMount& mount : mounts) out.push_back(mount.destination);
  return out;
}

SpecMount At(const ContainerPlan& plan, std::string_view destination) {
  std::vector<SpecMount> mounts = *BuildMounts(plan);
  auto found = std::find_if(mounts.begin(), mounts.end(), [&](const SpecMount& mount) {
    return mount.destination == destination;
  });
  return found == mounts.end() ? SpecMount{} : *found;
}

TEST(BuildMountsTest, ParentsComeBeforeChildrenWhateverTheRequestsOrder) {
  std::vector<SpecMount> mounts =
      *BuildMounts(With({Volume("/a/b/c"), Volume("/a/b"), Volume("a")}));
  auto place = [&](const char* path) {
    auto all = Destinations(mounts);
    return std::find(all.begin(), all.end(), path) - all.begin();
  };
  EXPECT_LT(place("/a"), place("/a/b"));
  EXPECT_LT(place("/a/b"), place("/a/b/c"));
}

TEST(BuildMountsTest, RequestReplacesADefaultOnTheSamePlace) {
  ContainerPlan plan = With({Volume("/etc/hosts/", "/srv/h"), Volume("/dev/shm", "/srv/s")});
  auto all = Destinations(*BuildMounts(plan));
  EXPECT_EQ(std::count(all.begin(), all.end(), "/etc/hosts"), 1);
  EXPECT_EQ(At(plan, "/etc/hosts").source, "/srv/h");
  EXPECT_EQ(At(plan, "/dev/shm").source, "/srv/s");
}

TEST(BuildMountsTest, DevOfTheRequestDropsTheDefaultsBelowIt) {
  auto all = Destinations(*BuildMounts(With({Volume("/dev", "/dev")})));
  EXPECT_THAT(all, Not(Contains("/dev/pts")));
  EXPECT_THAT(all, Not(Contains("/dev/shm")));
  EXPECT_THAT(all, Contains("/sys/fs/cgroup"));
}

TEST(BuildMountsTest, OptionsSayAccessAndPropagation) {
  PlanMount mount = Volume("/v");
  EXPECT_THAT(At(With({mount}), "/v").options, ElementsAre("rbind", "rprivate", "rw"));
  mount.readonly = true;
  mount.propagation = Propagation::kHostToContainer;
  EXPECT_THAT(At(With({mount}), "/v").options, ElementsAre("rbind", "rslave", "ro"));
  EXPECT_EQ(BuildRootfsPropagation({mount}), "rslave");
  mount.propagation = Propagation::kPrivate;
  mount.recursive_readonly = true;
  mount.options = {"noexec"};
  EXPECT_THAT(At(With({mount}), "/v").options, ElementsAre("rbind", "rprivate", "rro", "noexec"));
  EXPECT_EQ(BuildRootfsPropagation({mount}), "rprivate");
  mount.propagation = Propagation::kBidirectional;
  EXPECT_EQ(BuildRootfsPropagation({mount, Volume("/w")}), "rshared");
}

TEST(BuildMountsTest, RefusesWhatCannotBe) {
  struct Case {
    PlanMount mount;
    const char* fragment;
  };
  PlanMount rro = Volume("/v");
  rro.recursive_readonly = true;
  PlanMount rro_slave = rro;
  rro_slave.readonly = true;
  rro_slave.propagation = Propagation::kHostToContainer;
  PlanMount half_mapped = Volume("/v");
  half_mapped.uid_mappings = {{0, 1, 1}};
  PlanMount odd_option = Volume("/v");
  odd_option.options = {"rshared"};
  const std::vector<Case> cases = {{rro, "needs read-only"},
                                   {rro_slave, "needs private propagation"},
                                   {half_mapped, "needed together"},
                                   {odd_option, "option \"rshared\""},
                                   {Volume(""), "is empty"},
                                   {Volume("/"), "root of a container"},
                                   {Volume("/x/.."), "root of a container"},
                                   {Volume("/proc", "/srv"), "not allowed on procfs"},
                                   {Volume("/proc/self/attr"), "not allowed on procfs"},
                                   {Volume("/proc/sys/kernel"), "not allowed on procfs"},
                                   {Volume("/v", "srv"), "is not absolute"},
                                   {Volume("/v", "/srv/../etc"), "contains \"..\""},
                                   {Volume("/v", ""), "is empty"}};
  for (const Case& c : cases) EXPECT_FAILS(BuildMounts(With({c.mount})), kInvalid, c.fragment);
}

TEST(BuildMountsTest, AllowsLxcfsLeavesAndTheHostsProc) {
  EXPECT_TRUE(BuildMounts(With({Volume("/proc/meminfo")})).has_value());
  EXPECT_TRUE(BuildMounts(With({Volume("/proc", "/proc")})).has_value());
}

TEST(BuildMountsTest, LeavesOutMqueueWhenTheKernelHasNone) {
  ContainerPlan plan = With({});
  EXPECT_THAT(Destinations(*BuildMounts(plan)), Contains("/dev/mqueue"));
  plan.has_mqueue = false;
  EXPECT_THAT(Destinations(*BuildMounts(plan)), Not(Contains("/dev/mqueue")));
}

TEST(BuildMountsTest, BindsSysForAUserNamespaceOnTheHostsNetwork) {
  ContainerPlan plan = testing::UserNamespacePlan();
  EXPECT_EQ(At(plan, "/sys").type, "sysfs");
  plan.namespaces.network = {Kind::kHost, ""};
  EXPECT_EQ(At(plan, "/sys").type, "bind");
  EXPECT_THAT(At(plan, "/sys").options, Contains("rro"));
}

TEST(BuildMountsTest, BindsTheHostsCgroup2WithoutACgroupNamespace) {
  ContainerPlan plan = With({});
  plan.cgroup_v2 = true;
  EXPECT_EQ(At(plan, "/sys/fs/cgroup").type, "cgroup");
  plan.namespaces.cgroup.kind = Kind::kHost;
  EXPECT_EQ(At(plan, "/sys/fs/cgroup").type, "bind");
  EXPECT_EQ(At(plan, "/sys/fs/cgroup").source, "/sys/fs/cgroup");
  EXPECT_THAT(At(plan, "/sys/fs/cgroup").options, Contains("ro"));
  plan.privileged = true;
  EXPECT_THAT(At(plan, "/sys/fs/cgroup").options, Contains("rw"));
  EXPECT_THAT(At(plan, "/sys/fs/cgroup").options, Not(Contains("ro")));
  plan.cgroup_v2 = false;
  EXPECT_EQ(At(plan, "/sys/fs/cgroup").type, "cgroup");
}

TEST(BuildMountsTest, PodFilesAreReadOnlyWithAReadOnlyRoot) {
  EXPECT_THAT(At(testing::ReadOnlyPlan(), "/etc/hosts").options, Contains("ro"));
  EXPECT_THAT(At(testing::UserNamespacePlan(), "/etc/hosts").options, Contains("rw"));
}

}  // namespace
}  // namespace berth::oci
