// SPDX-License-Identifier: Apache-2.0
#include "pod/sqlite_records.h"

#include "base/log.h"
#include "base/strings.h"
#include "pod/record_codec.h"

namespace berth::pod {

namespace {

const std::vector<db::Migration>& Migrations() {
  static const std::vector<db::Migration> kMigrations = {
      "CREATE TABLE sandboxes (id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL)"
      " WITHOUT ROWID;"
      "CREATE TABLE containers (id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL,"
      " spec TEXT NOT NULL) WITHOUT ROWID;",
  };
  return kMigrations;
}

Result<> RemoveRow(db::Database& database, std::string_view sql, const std::string& id) {
  db::Statement statement = TRY(database.Prepare(sql));
  statement.Bind(id);
  return statement.Run();
}

// What a caller is told of a row that cannot be read: its id, and that it is there (rule: never
// dropped).
template <class T>
T Unreadable(const std::string& id, const Error& error) {
  LogError(StrCat("record ", Quote(id), ": ", error.message()));
  T record;
  record.id = id;
  record.loaded = false;
  return record;
}

Result<ContainerRecord> ReadContainer(const db::Statement& row) {
  ContainerRecord record = TRY(DecodeContainer(TRY(row.Text(1))));
  record.spec_json = TRY(row.Text(2));
  return record;
}

Result<SandboxRecord> ReadSandbox(const db::Statement& row) {
  return DecodeSandbox(TRY(row.Text(1)));
}

}  // namespace

SqliteRecords::SqliteRecords(db::Database database) : database_(std::move(database)) {}

Result<std::unique_ptr<SqliteRecords>> SqliteRecords::Open(const std::string& path) {
  db::Database database = TRY(db::Database::Open(path, Migrations(), db::Durability::kNormal));
  return std::unique_ptr<SqliteRecords>(new SqliteRecords(std::move(database)));
}

Result<> SqliteRecords::Put(const SandboxRecord& record) {
  std::string body = Encode(record);
  auto database = database_.Lock();
  db::Statement statement = TRY(database->Prepare(
      "INSERT INTO sandboxes (id, version, body) VALUES (?, ?, ?)"
      " ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body"));
  statement.Bind(record.id).Bind(int64_t{SandboxRecord::kVersion}).Bind(body);
  return TRY(statement.Run(), StrCat("record of pod ", record.id)), Ok();
}

Result<> SqliteRecords::Put(const ContainerRecord& record) {
  std::string body = Encode(record);
  auto database = database_.Lock();
  db::Statement statement = TRY(database->Prepare(
      "INSERT INTO containers (id, version, body, spec) VALUES (?, ?, ?, ?)"
      " ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body,"
      " spec = excluded.spec"));
  statement.Bind(record.id).Bind(int64_t{ContainerRecord::kVersion}).Bind(body);
  statement.Bind(record.spec_json);
  return TRY(statement.Run(), StrCat("record of container ", record.id)), Ok();
}

Result<> SqliteRecords::RemoveSandbox(const std::string& id) {
  auto database = database_.Lock();
  return RemoveRow(*database, "DELETE FROM sandboxes WHERE id = ?", id);
}

Result<> SqliteRecords::RemoveContainer(const std::string& id) {
  auto database = database_.Lock();
  return RemoveRow(*database, "DELETE FROM containers WHERE id = ?", id);
}

Result<std::vector<SandboxRecord>> SqliteRecords::LoadSandboxes() {
  auto database = database_.Lock();
  db::Statement rows = TRY(database->Prepare("SELECT id, body FROM sandboxes ORDER BY id"));
  std::vector<SandboxRecord> out;
  while (TRY(rows.Step(), "pod records")) {
    std::string id = TRY(rows.Text(0), "pod records");
    Result<SandboxRecord> record = ReadSandbox(rows);
    out.push_back(record ? std::move(*record) : Unreadable<SandboxRecord>(id, record.error()));
    out.back().id = id;
  }
  return out;
}

Result<std::vector<ContainerRecord>> SqliteRecords::LoadContainers() {
  auto database = database_.Lock();
  db::Statement rows = TRY(database->Prepare("SELECT id, body, spec FROM containers ORDER BY id"));
  std::vector<ContainerRecord> out;
  while (TRY(rows.Step(), "container records")) {
    std::string id = TRY(rows.Text(0), "container records");
    Result<ContainerRecord> record = ReadContainer(rows);
    out.push_back(record ? std::move(*record) : Unreadable<ContainerRecord>(id, record.error()));
    out.back().id = id;
  }
  return out;
}

}  // namespace berth::pod
