// SPDX-License-Identifier: Apache-2.0
#include "pod/sqlite_records.h"

#include "os/dir_fd.h"
#include "pod/testing/fake_records.h"
#include "pod/testing/records_contract.h"

namespace berth::pod {
namespace {

std::unique_ptr<Records> MakeSqlite() {
  auto records = SqliteRecords::Open(":memory:");
  EXPECT_TRUE(records) << records.error().message();
  return std::move(*records);
}

INSTANTIATE_TEST_SUITE_P(
    All, RecordsContract,
    ::testing::Values(RecordsFactory{"Sqlite", MakeSqlite},
                      RecordsFactory{"Fake", [] { return std::make_unique<FakeRecords>(); }}),
    [](const auto& test) { return test.param.name; });

class SqliteRecordsFile : public ::testing::Test {
 protected:
  void SetUp() override {
    auto dir = os::TempDir::Make();
    ASSERT_TRUE(dir) << dir.error().message();
    dir_.emplace(std::move(*dir));
    path_ = dir_->path() + "/berth.db";
  }
  std::optional<os::TempDir> dir_;
  std::string path_;
};

TEST_F(SqliteRecordsFile, WhatWasPutIsThereAfterAReopen) {
  {
    auto records = SqliteRecords::Open(path_);
    ASSERT_TRUE(records) << records.error().message();
    ASSERT_TRUE((*records)->Put(FullSandboxRecord()));
    ASSERT_TRUE((*records)->Put(FullContainerRecord()));
  }
  auto records = SqliteRecords::Open(path_);
  ASSERT_TRUE(records) << records.error().message();
  EXPECT_EQ((*records)->LoadSandboxes()->size(), 1u);
  EXPECT_EQ((*records)->LoadContainers()->front().spec_json, FullContainerRecord().spec_json);
}

// An object that cannot be read is reported, never dropped.
TEST_F(SqliteRecordsFile, ARowThatCannotBeReadIsLoadedAsUnreadable) {
  {
    auto records = SqliteRecords::Open(path_);
    ASSERT_TRUE(records);
    ASSERT_TRUE((*records)->Put(FullSandboxRecord()));
    ASSERT_TRUE((*records)->Put(FullContainerRecord()));
  }
  {
    auto database = db::Database::Open(path_, {"SELECT 1"});
    ASSERT_TRUE(database) << database.error().message();
    ASSERT_TRUE(database->Execute("UPDATE sandboxes SET body = '{\"version\":99}'"));
    ASSERT_TRUE(database->Execute("UPDATE containers SET body = x'00ff'"));
  }
  auto records = SqliteRecords::Open(path_);
  ASSERT_TRUE(records) << records.error().message();
  auto sandboxes = (*records)->LoadSandboxes();
  ASSERT_EQ(sandboxes->size(), 1u);
  EXPECT_FALSE(sandboxes->front().loaded);
  EXPECT_EQ(sandboxes->front().id, FullSandboxRecord().id);
  auto containers = (*records)->LoadContainers();
  ASSERT_EQ(containers->size(), 1u);
  EXPECT_FALSE(containers->front().loaded);
  EXPECT_EQ(containers->front().id, FullContainerRecord().id);
}

TEST_F(SqliteRecordsFile, AFileThatIsNoDatabaseIsDataLoss) {
  ASSERT_TRUE(dir_->dir().WriteFile("berth.db", std::string(4096, 'x'), 0600));
  auto records = SqliteRecords::Open(path_);
  ASSERT_FALSE(records);
  EXPECT_EQ(records.error().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace berth::pod
