// SPDX-License-Identifier: Apache-2.0
#include "pod/reconcile.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pod/testing/sample_records.h"

namespace berth::pod {
namespace {

using Kind = Action::Kind;
using Observed = runtime::ContainerPhase;

const std::string kPod = TestId("a");
const std::string kContainer = TestId("c");

SandboxRecord Pod(SandboxPhase phase) {
  SandboxRecord record;
  record.id = kPod;
  record.phase = phase;
  record.config = MinimalSandboxConfig();
  record.boot_id = "boot";
  record.network_attached = true;
  record.ips = {"10.0.0.2"};
  record.handle.emplace();
  return record;
}

ContainerRecord Container(ContainerPhase phase) {
  ContainerRecord record;
  record.id = kContainer;
  record.sandbox_id = kPod;
  record.phase = phase;
  record.config = MinimalContainerConfig();
  record.pid = 7;
  record.started_at = phase == ContainerPhase::kRunning ? 5 : 0;
  return record;
}

// A living pod with a container as `phase`, all of it there.
Found Alive(ContainerPhase phase, Observed observed) {
  Found found;
  found.boot_id = "boot";
  found.now = 100;
  found.sandboxes = {Pod(SandboxPhase::kReady)};
  found.containers = {Container(phase)};
  runtime::SandboxObservation pod;
  pod.sandbox_id = kPod;
  pod.monitor_alive = true;
  pod.handle.emplace();
  pod.handle->monitor_pid = 42;
  pod.containers.push_back({kContainer, observed, 7, std::nullopt});
  found.observations = {pod};
  found.network_namespaces = {kPod};
  found.rootfs = {kContainer};
  return found;
}

std::vector<Kind> Kinds(const std::vector<Action>& actions) {
  std::vector<Kind> out;
  for (const Action& action : actions) out.push_back(action.kind);
  return out;
}

const ContainerRecord& TheContainer(const std::vector<Action>& actions) {
  auto found = std::find_if(actions.begin(), actions.end(),
                            [](const Action& a) { return a.kind == Kind::kKeepContainer; });
  EXPECT_NE(found, actions.end());
  return found->container;
}

TEST(Reconcile, NothingIsDoneWhereNothingIs) { EXPECT_TRUE(Reconcile({}).empty()); }

TEST(Reconcile, ARestartWithAllAliveChangesNothing) {
  auto actions = Reconcile(Alive(ContainerPhase::kRunning, Observed::kRunning));
  EXPECT_EQ(Kinds(actions), (std::vector{Kind::kKeepSandbox, Kind::kKeepContainer}));
  EXPECT_FALSE(actions[0].changed);
  EXPECT_FALSE(actions[1].changed);
  EXPECT_EQ(actions[0].sandbox.phase, SandboxPhase::kReady);
  EXPECT_EQ(actions[0].sandbox.handle->monitor_pid, 42) << "as the monitor says now";
}

TEST(Reconcile, AContainerStartedJustBeforeTheDeathIsRunning) {
  auto actions = Reconcile(Alive(ContainerPhase::kCreated, Observed::kRunning));
  EXPECT_EQ(TheContainer(actions).phase, ContainerPhase::kRunning);
  EXPECT_EQ(TheContainer(actions).started_at, 100);
  EXPECT_TRUE(actions[1].changed);
}

TEST(Reconcile, AnExitWhileTheDaemonWasDownHasItsCodeAndTime) {
  for (bool monitor_alive : {true, false}) {
    Found found = Alive(ContainerPhase::kRunning, Observed::kExited);
    found.observations[0].monitor_alive = monitor_alive;
    found.observations[0].containers[0].exit = runtime::ExitRecord{3, 0, false, 50};
    auto actions = Reconcile(found);
    EXPECT_EQ(TheContainer(actions).phase, ContainerPhase::kExited);
    EXPECT_EQ(TheContainer(actions).exit_code, 3);
    EXPECT_EQ(TheContainer(actions).finished_at, 50);
    EXPECT_EQ(TheContainer(actions).reason, "Error");
    EXPECT_EQ(actions[0].sandbox.phase,
              monitor_alive ? SandboxPhase::kReady : SandboxPhase::kNotReady);
  }
}

TEST(Reconcile, WithADeadMonitorAndNoExitRecordAContainerIsUnknown) {
  Found found = Alive(ContainerPhase::kRunning, Observed::kRunning);
  found.observations[0].monitor_alive = false;
  found.observations[0].containers.clear();
  auto actions = Reconcile(found);
  EXPECT_EQ(actions[0].sandbox.phase, SandboxPhase::kNotReady);
  EXPECT_TRUE(actions[0].changed);
  EXPECT_EQ(TheContainer(actions).phase, ContainerPhase::kUnknown);
}

TEST(Reconcile, AContainerThatIsNowhereHasExited255) {
  for (bool pod_is_there : {true, false}) {
    Found found = Alive(ContainerPhase::kRunning, Observed::kRunning);
    found.observations[0].containers.clear();
    if (!pod_is_there) found.observations.clear();
    auto actions = Reconcile(found);
    EXPECT_EQ(TheContainer(actions).phase, ContainerPhase::kExited);
    EXPECT_EQ(TheContainer(actions).exit_code, 255);
    EXPECT_EQ(TheContainer(actions).reason, "Unknown");
    EXPECT_EQ(TheContainer(actions).finished_at, 100);
  }
}

TEST(Reconcile, APodWithoutItsNetworkNamespaceIsNotReady) {
  Found found = Alive(ContainerPhase::kRunning, Observed::kRunning);
  found.network_namespaces.clear();
  EXPECT_EQ(Reconcile(found)[0].sandbox.phase, SandboxPhase::kNotReady);
  found.sandboxes[0].config.security.namespaces.network = NamespaceMode::kNode;
  EXPECT_EQ(Reconcile(found)[0].sandbox.phase, SandboxPhase::kReady);
}

TEST(Reconcile, AfterARebootPodsAreNotReadyAndDetachedAndContainersExited) {
  Found found = Alive(ContainerPhase::kRunning, Observed::kRunning);
  found.boot_id = "next";
  found.observations.clear();
  found.network_namespaces.clear();
  auto actions = Reconcile(found);
  EXPECT_EQ(Kinds(actions), (std::vector{Kind::kKeepSandbox, Kind::kDetach, Kind::kKeepContainer}));
  EXPECT_EQ(actions[0].sandbox.phase, SandboxPhase::kNotReady);
  EXPECT_TRUE(actions[0].sandbox.ips.empty());
  EXPECT_EQ(TheContainer(actions).exit_code, 255);
  EXPECT_EQ(TheContainer(actions).reason, "Unknown");
  found.sandboxes[0].stopped = true;
  EXPECT_EQ(Kinds(Reconcile(found)), (std::vector{Kind::kKeepSandbox, Kind::kKeepContainer}));
}

TEST(Reconcile, AnExitedContainerStaysAsItIs) {
  Found found = Alive(ContainerPhase::kExited, Observed::kExited);
  found.containers[0].exit_code = 9;
  found.boot_id = "next";
  EXPECT_EQ(TheContainer(Reconcile(found)).exit_code, 9);
}

TEST(Reconcile, IntentsAndRemovalsAreFinishedContainersFirst) {
  for (SandboxPhase phase : {SandboxPhase::kIntent, SandboxPhase::kRemoving}) {
    Found found = Alive(ContainerPhase::kExited, Observed::kExited);
    found.sandboxes[0].phase = phase;
    EXPECT_EQ(Kinds(Reconcile(found)), (std::vector{Kind::kUndoContainer, Kind::kUndoSandbox}));
  }
  for (ContainerPhase phase : {ContainerPhase::kIntent, ContainerPhase::kRemoving}) {
    Found found = Alive(phase, Observed::kCreated);
    EXPECT_EQ(Kinds(Reconcile(found)), (std::vector{Kind::kKeepSandbox, Kind::kUndoContainer}));
  }
}

TEST(Reconcile, WhatNoRecordExplainsIsRemoved) {
  Found found = Alive(ContainerPhase::kRunning, Observed::kRunning);
  found.sandboxes.clear();
  found.containers.clear();
  EXPECT_EQ(Kinds(Reconcile(found)),
            (std::vector{Kind::kRemoveStrayContainer, Kind::kRemoveStraySandbox,
                         Kind::kRemoveStrayNs, Kind::kRemoveStrayRootfs}));
}

TEST(Reconcile, UnreadableRecordsAreKeptWithAllThatIsTheirs) {
  Found found = Alive(ContainerPhase::kRunning, Observed::kRunning);
  found.sandboxes[0] = {};
  found.sandboxes[0].id = kPod;
  found.sandboxes[0].loaded = false;
  found.containers[0] = {};
  found.containers[0].id = kContainer;
  found.containers[0].loaded = false;
  auto actions = Reconcile(found);
  EXPECT_EQ(Kinds(actions), (std::vector{Kind::kKeepSandbox, Kind::kKeepContainer}));
  EXPECT_FALSE(actions[0].changed) << "the row is evidence";
  EXPECT_EQ(actions[0].sandbox.phase, SandboxPhase::kNotReady);
  EXPECT_EQ(TheContainer(actions).phase, ContainerPhase::kUnknown);
  EXPECT_EQ(TheContainer(actions).sandbox_id, kPod);
}

TEST(Reconcile, AMonitorThatHasNotAnsweredLeavesEverythingAsOnRecordButExits) {
  Found found = Alive(ContainerPhase::kRunning, Observed::kRunning);
  found.observations[0].monitor_alive = false;
  found.observations[0].handle.reset();
  found.observations[0].unanswered = true;
  found.observations[0].containers.clear();
  auto actions = Reconcile(found);
  ASSERT_EQ(actions.size(), 2U);
  EXPECT_EQ(actions[0].sandbox.phase, SandboxPhase::kReady);
  EXPECT_TRUE(actions[0].sandbox.handle);
  EXPECT_EQ(actions[1].container.phase, ContainerPhase::kRunning);
  EXPECT_TRUE(actions[1].unanswered);
  EXPECT_FALSE(actions[0].changed || actions[1].changed);
  found.observations[0].containers = {
      {kContainer, Observed::kExited, 7, runtime::ExitRecord{.exit_code = 3}}};
  actions = Reconcile(found);
  EXPECT_EQ(actions[1].container.phase, ContainerPhase::kExited);
  EXPECT_EQ(actions[1].container.exit_code, 3);
}

}  // namespace
}  // namespace berth::pod
