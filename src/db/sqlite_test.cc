// SPDX-License-Identifier: Apache-2.0
#include "db/sqlite.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace berth::db {
namespace {

using ::testing::HasSubstr;

constexpr Migration kFirst = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE, body BLOB)";
constexpr Migration kSecond = "ALTER TABLE t ADD COLUMN extra INTEGER";

// A directory with the files that a database makes.
class SqliteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-sqlite-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    path_ = dir_ + "/x.db";
  }
  void TearDown() override {
    for (const char* suffix : {"", "-wal", "-shm", ".bad", ".bad-wal", ".copy"})
      ::unlink((path_ + suffix).c_str());
    EXPECT_EQ(::rmdir(dir_.c_str()), 0);
  }
  std::string dir_, path_;
};

Result<> Insert(Database& db, std::string_view name) {
  Statement insert = TRY(db.Prepare("INSERT INTO t(name, body) VALUES(?, ?)"));
  return insert.Bind(name).BindBlob(std::string_view("a\0b", 3)).Run();
}

Result<int64_t> Count(Database& db) {
  Statement count = TRY(db.Prepare("SELECT count(*) FROM t"));
  TRY(count.Step());
  return count.Int(0);
}

TEST_F(SqliteTest, KeepsRowsAcrossOpens) {
  {
    auto db = Database::Open(path_, {kFirst});
    ASSERT_TRUE(db) << db.error().message();
    ASSERT_TRUE(Insert(*db, "one"));
  }
  auto db = Database::Open(path_, {kFirst}, Durability::kFull);
  ASSERT_TRUE(db) << db.error().message();
  auto row = db->Prepare("SELECT id, name, body FROM t");
  ASSERT_TRUE(row);
  ASSERT_TRUE(*row->Step());
  EXPECT_EQ(*row->Int(0), 1);
  EXPECT_EQ(*row->Text(1), "one");
  EXPECT_EQ(*row->Blob(2), std::string("a\0b", 3));
  EXPECT_FALSE(*row->Step());
  EXPECT_TRUE(db->Check());
}

TEST_F(SqliteTest, FilesArePrivate) {
  auto db = Database::Open(path_, {kFirst});
  ASSERT_TRUE(db);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat st{};
    ASSERT_EQ(::stat((path_ + suffix).c_str(), &st), 0) << suffix;
    EXPECT_EQ(st.st_mode & 0777, 0600U) << suffix;
  }
}

TEST_F(SqliteTest, KeepsRoomForItsLog) {
  auto db = Database::Open(path_, {kFirst});
  ASSERT_TRUE(db);
  struct stat st{};
  ASSERT_EQ(::stat((path_ + "-wal").c_str(), &st), 0);
  EXPECT_GE(st.st_blocks * 512, 5 << 20);
  EXPECT_LT(st.st_size, 1 << 20);
}

TEST_F(SqliteTest, MigratesAnOlderFileAndRefusesANewerOne) {
  {
    ASSERT_TRUE(Database::Open(path_, {kFirst}));
  }
  {
    auto db = Database::Open(path_, {kFirst, kSecond});
    ASSERT_TRUE(db) << db.error().message();
    EXPECT_TRUE(db->Execute("UPDATE t SET extra=1"));
  }
  auto old = Database::Open(path_, {kFirst});
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(old.error().message(), HasSubstr("newer"));
}

TEST_F(SqliteTest, AFailingMigrationLeavesTheFileAsItWas) {
  {
    ASSERT_TRUE(Database::Open(path_, {kFirst}));
  }
  auto bad = Database::Open(path_, {kFirst, "ALTER TABLE nothing ADD COLUMN x"});
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message(), HasSubstr("schema step 2"));
  EXPECT_TRUE(Database::Open(path_, {kFirst}));
}

TEST_F(SqliteTest, AFileThatIsNoDatabaseIsDataLoss) {
  const int fd = ::open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  const std::string junk(8192, 'x');
  ASSERT_EQ(::write(fd, junk.data(), junk.size()), static_cast<ssize_t>(junk.size()));
  ::close(fd);
  auto db = Database::Open(path_, {kFirst});
  ASSERT_FALSE(db);
  EXPECT_EQ(db.error().code(), Code::kDataLoss);
}

TEST_F(SqliteTest, SaysWhetherItIsFresh) {
  EXPECT_TRUE(Database::Open(path_, {kFirst})->fresh());
  EXPECT_FALSE(Database::Open(path_, {kFirst})->fresh());
  EXPECT_FALSE(Database::Open(path_, {kFirst, kSecond})->fresh());
}

TEST_F(SqliteTest, ACopyIsPutInThePlaceOfWhatIsSetAside) {
  const std::string copy = path_ + ".copy";
  EXPECT_FALSE(*PutCopy(copy, path_));
  {
    auto db = Database::Open(path_, {kFirst});
    ASSERT_TRUE(Insert(*db, "copied"));
    for (int i = 0; i < 2; ++i) {  // the second replaces the first
      Result<> copied = db->CopyTo(copy);
      ASSERT_TRUE(copied) << copied.error().message();
    }
    ASSERT_TRUE(Insert(*db, "later"));
  }
  for (int i = 0; i < 2; ++i) {
    Result<> aside = SetAside(path_);
    ASSERT_TRUE(aside) << aside.error().message();
    EXPECT_EQ(::access(path_.c_str(), F_OK), -1);
    ASSERT_TRUE(*PutCopy(copy, path_));
    auto db = Database::Open(path_, {kFirst});
    ASSERT_TRUE(db) << db.error().message();
    EXPECT_FALSE(db->fresh());
    ASSERT_TRUE(db->Check());
    Statement names = std::move(*db->Prepare("SELECT name FROM t"));
    ASSERT_TRUE(*names.Step());
    EXPECT_EQ(*names.Text(0), "copied");
    EXPECT_FALSE(*names.Step());
  }
  EXPECT_EQ(::access((path_ + ".bad").c_str(), F_OK), 0);
}

TEST(SqliteMemoryTest, ATransactionIsAllOrNothing) {
  auto db = Database::Open(":memory:", {kFirst});
  ASSERT_TRUE(db);
  auto failed = db->Transact([&]() -> Result<> {
    TRY(Insert(*db, "one"));
    return Insert(*db, "one");
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kAlreadyExists);
  EXPECT_EQ(*Count(*db), 0);
  ASSERT_TRUE(db->Transact([&] { return Insert(*db, "one"); }));
  EXPECT_EQ(*Count(*db), 1);
}

TEST(SqliteMemoryTest, AStatementIsReusable) {
  auto db = Database::Open(":memory:", {kFirst});
  ASSERT_TRUE(db);
  auto insert = db->Prepare("INSERT INTO t(name, body) VALUES(?, ?)");
  ASSERT_TRUE(insert);
  ASSERT_TRUE(insert->Bind("a").BindNull().Run());
  EXPECT_EQ(db->LastRowId(), 1);
  ASSERT_TRUE(insert->Bind("b").BindBlob("").Run());
  EXPECT_EQ(db->Changes(), 1);
  auto row = db->Prepare("SELECT body FROM t ORDER BY id");
  ASSERT_TRUE(*row->Step());
  EXPECT_TRUE(row->IsNull(0));
  ASSERT_TRUE(*row->Step());
  EXPECT_EQ(*row->Blob(0), "");
}

TEST(SqliteMemoryTest, WrongTypesAndTooManyParametersAreErrors) {
  auto db = Database::Open(":memory:", {kFirst});
  ASSERT_TRUE(Insert(*db, "one"));
  auto row = db->Prepare("SELECT name, -1 FROM t");
  ASSERT_TRUE(*row->Step());
  auto number = row->Int(0);
  ASSERT_FALSE(number);
  EXPECT_EQ(number.error().code(), Code::kDataLoss);
  EXPECT_THAT(number.error().message(), HasSubstr("column name"));
  EXPECT_FALSE(row->Unsigned(1));
  EXPECT_FALSE(row->Bind("no such parameter").Step());
  auto bad = db->Prepare("SELECT missing FROM t");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message(), HasSubstr("no such column"));
}

}  // namespace
}  // namespace berth::db
