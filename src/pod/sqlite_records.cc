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

struct Row {
  std::string id, body, spec;
};
struct Rows {
  std::vector<Row> sandboxes, containers;
};

// What a damaged table still says: from both ends as far as it can be read. A row that is no record may be the damage's
// work: what is kept beside the monitor is better.
std::vector<Row> ReadRows(db::Database& database, std::string_view forwards,
                          std::string_view backwards, bool (*decodes)(std::string_view)) {
  std::vector<Row> rows;
  for (std::string_view sql : {forwards, backwards}) {
    Result<db::Statement> statement = database.Prepare(sql);
    if (!statement) continue;
    for (Result<bool> more = statement->Step(); more && *more; more = statement->Step()) {
      Result<std::string> id = statement->Text(0), body = statement->Text(1),
                          spec = statement->Text(2);
      if (!id || !body || !spec) continue;
      if (decodes(*body)) {
        rows.push_back({std::move(*id), std::move(*body), std::move(*spec)});
      } else {
        LogError(StrCat("record ", Quote(*id), " is damaged"));
      }
    }
  }
  return rows;
}

Rows Salvage(db::Database& database) {
  auto is_sandbox = [](std::string_view body) { return DecodeSandbox(body).has_value(); };
  auto is_container = [](std::string_view body) { return DecodeContainer(body).has_value(); };
  return {ReadRows(database, "SELECT id, body, '' FROM sandboxes ORDER BY id",
                   "SELECT id, body, '' FROM sandboxes ORDER BY id DESC", is_sandbox),
          ReadRows(database, "SELECT id, body, spec FROM containers ORDER BY id",
                   "SELECT id, body, spec FROM containers ORDER BY id DESC", is_container)};
}

Result<db::Database> OpenDatabase(const std::string& path) {
  return db::Database::Open(path, Migrations(), db::Durability::kNormal);
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
  Rows saved;
  {
    Result<db::Database> database = OpenDatabase(path);
    Result<> sound = database ? database->Check() : Result<>(database.error().Clone());
    if (sound) return std::unique_ptr<SqliteRecords>(new SqliteRecords(std::move(*database)));
    if (sound.error().code() != Code::kDataLoss) return std::move(sound.error());
    LogError(StrCat(sound.error().message(), ": ", path, " is set aside as ", path,
                    ".bad and made anew from what can be read and what the monitors keep"));
    if (database) saved = Salvage(*database);
  }
  TRY(db::SetAside(path));
  std::unique_ptr<SqliteRecords> records(new SqliteRecords(TRY(OpenDatabase(path))));
  for (const Row& row : saved.sandboxes) TRY(records->RestoreSandbox(row.id, row.body));
  for (const Row& row : saved.containers)
    TRY(records->RestoreContainer(row.id, row.body, row.spec));
  return records;
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

Result<> SqliteRecords::RestoreSandbox(const std::string& id, const std::string& body) {
  auto database = database_.Lock();
  db::Statement statement = TRY(database->Prepare(
      "INSERT INTO sandboxes (id, version, body) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"));
  statement.Bind(id).Bind(int64_t{SandboxRecord::kVersion}).Bind(body);
  return TRY(statement.Run(), StrCat("record of pod ", id)), Ok();
}

Result<> SqliteRecords::RestoreContainer(const std::string& id, const std::string& body,
                                         const std::string& spec_json) {
  auto database = database_.Lock();
  db::Statement statement =
      TRY(database->Prepare("INSERT INTO containers (id, version, body, spec) VALUES (?, ?, ?, ?)"
                            " ON CONFLICT (id) DO NOTHING"));
  statement.Bind(id).Bind(int64_t{ContainerRecord::kVersion}).Bind(body).Bind(spec_json);
  return TRY(statement.Run(), StrCat("record of container ", id)), Ok();
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
