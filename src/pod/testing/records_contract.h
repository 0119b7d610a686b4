// SPDX-License-Identifier: Apache-2.0
// What every Records promises, as tests: instantiate with a factory that gives a fresh store.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "pod/record_codec.h"
#include "pod/records.h"
#include "pod/testing/sample_records.h"

namespace berth::pod {

struct RecordsFactory {
  std::string name;
  std::function<std::unique_ptr<Records>()> make;
};

class RecordsContract : public ::testing::TestWithParam<RecordsFactory> {
 protected:
  void SetUp() override { records_ = GetParam().make(); }
  std::unique_ptr<Records> records_;
};

TEST_P(RecordsContract, AFreshStoreIsEmpty) {
  EXPECT_TRUE(records_->LoadSandboxes()->empty());
  EXPECT_TRUE(records_->LoadContainers()->empty());
}

TEST_P(RecordsContract, WhatWasPutIsLoadedWhole) {
  ASSERT_TRUE(records_->Put(FullSandboxRecord()));
  ASSERT_TRUE(records_->Put(FullContainerRecord()));
  auto sandboxes = records_->LoadSandboxes();
  auto containers = records_->LoadContainers();
  ASSERT_EQ(sandboxes->size(), 1u);
  ASSERT_EQ(containers->size(), 1u);
  EXPECT_TRUE(sandboxes->front().loaded);
  EXPECT_EQ(Encode(sandboxes->front()), Encode(FullSandboxRecord()));
  EXPECT_EQ(Encode(containers->front()), Encode(FullContainerRecord()));
  EXPECT_EQ(containers->front().spec_json, FullContainerRecord().spec_json);
}

TEST_P(RecordsContract, PutReplacesTheRowOfTheSameId) {
  SandboxRecord record = FullSandboxRecord();
  ASSERT_TRUE(records_->Put(record));
  record.phase = SandboxPhase::kReady;
  ASSERT_TRUE(records_->Put(record));
  auto loaded = records_->LoadSandboxes();
  ASSERT_EQ(loaded->size(), 1u);
  EXPECT_EQ(loaded->front().phase, SandboxPhase::kReady);
}

TEST_P(RecordsContract, RemovingWhatIsNotThereIsSuccess) {
  EXPECT_TRUE(records_->RemoveSandbox(TestId("f")));
  EXPECT_TRUE(records_->RemoveContainer(TestId("f")));
}

TEST_P(RecordsContract, RemoveTakesOneRow) {
  ContainerRecord first = FullContainerRecord();
  ContainerRecord second = first;
  second.id = TestId("c2");
  ASSERT_TRUE(records_->Put(first));
  ASSERT_TRUE(records_->Put(second));
  ASSERT_TRUE(records_->RemoveContainer(first.id));
  auto loaded = records_->LoadContainers();
  ASSERT_EQ(loaded->size(), 1u);
  EXPECT_EQ(loaded->front().id, second.id);
}

TEST_P(RecordsContract, RestoreBringsBackWhatIsNotThere) {
  SandboxRecord sandbox = FullSandboxRecord();
  ContainerRecord container = FullContainerRecord();
  ASSERT_TRUE(records_->RestoreSandbox(sandbox.id, Encode(sandbox)));
  ASSERT_TRUE(records_->RestoreContainer(container.id, Encode(container), "{}"));
  EXPECT_EQ(Encode(records_->LoadSandboxes()->front()), Encode(sandbox));
  EXPECT_EQ(Encode(records_->LoadContainers()->front()), Encode(container));
  EXPECT_EQ(records_->LoadContainers()->front().spec_json, "{}");
  SandboxRecord other = sandbox;
  other.handler = "another";
  ASSERT_TRUE(records_->RestoreSandbox(sandbox.id, Encode(other)));
  EXPECT_EQ(records_->LoadSandboxes()->front().handler, sandbox.handler);
}

TEST_P(RecordsContract, RestoreKeepsWhatCannotBeRead) {
  ASSERT_TRUE(records_->RestoreSandbox(TestId("a"), "no record"));
  ASSERT_TRUE(records_->RestoreContainer(TestId("b"), "", ""));
  auto sandboxes = records_->LoadSandboxes();
  auto containers = records_->LoadContainers();
  ASSERT_EQ(sandboxes->size(), 1u);
  ASSERT_EQ(containers->size(), 1u);
  EXPECT_FALSE(sandboxes->front().loaded);
  EXPECT_EQ(sandboxes->front().id, TestId("a"));
  EXPECT_FALSE(containers->front().loaded);
  EXPECT_EQ(containers->front().id, TestId("b"));
}

TEST_P(RecordsContract, ManyThreadsMayPutAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 25; ++i) {
        ContainerRecord record = FullContainerRecord();
        record.id = TestId(std::to_string(100 * t + i) + "f");
        EXPECT_TRUE(records_->Put(record));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(records_->LoadContainers()->size(), 100u);
}

}  // namespace berth::pod
