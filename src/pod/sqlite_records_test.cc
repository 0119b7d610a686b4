// SPDX-License-Identifier: Apache-2.0
#include "pod/sqlite_records.h"

#include <fcntl.h>
#include <unistd.h>

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

TEST_F(SqliteRecordsFile, ADamagedFileIsSetAsideAndWhatCanBeReadOfItIsKept) {
  {
    auto records = SqliteRecords::Open(path_);
    ASSERT_TRUE(records);
    for (int i = 0; i < 200; ++i) {
      ContainerRecord record = FullContainerRecord();
      record.id = TestId(std::to_string(1000 + i));
      ASSERT_TRUE((*records)->Put(record));
    }
  }
  {
    // One page of the table, somewhere in its middle.
    os::Fd file(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    const off_t middle = ::lseek(file.get(), 0, SEEK_END) / 4096 / 2 * 4096;
    const std::string rubbish(4096, 'x');
    ASSERT_EQ(::pwrite(file.get(), rubbish.data(), rubbish.size(), middle), 4096);
  }
  auto records = SqliteRecords::Open(path_);
  ASSERT_TRUE(records) << records.error().message();
  const size_t kept = (*records)->LoadContainers()->size();
  EXPECT_GT(kept, 100u);
  EXPECT_LT(kept, 200u);
  EXPECT_EQ(::access((path_ + ".bad").c_str(), F_OK), 0);
}

TEST_F(SqliteRecordsFile, AFileThatIsNoDatabaseIsSetAside) {
  {
    os::Fd file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::string text(5000, 'x');
    ASSERT_EQ(::write(file.get(), text.data(), text.size()), 5000);
  }
  auto records = SqliteRecords::Open(path_);
  ASSERT_TRUE(records) << records.error().message();
  EXPECT_TRUE((*records)->LoadSandboxes()->empty());
  ASSERT_TRUE((*records)->Put(FullSandboxRecord()));
  EXPECT_EQ(::access((path_ + ".bad").c_str(), F_OK), 0);
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

}  // namespace
}  // namespace berth::pod
