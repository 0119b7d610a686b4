// SPDX-License-Identifier: Apache-2.0
// SQLite (https://sqlite.org/c3ref/intro.html) behind owners and Result: a database, its prepared
// statements, a transaction. A Database belongs to one store, which serializes its use (one thread
// at a time); statements must not outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace berth::db {

// What a commit promises after a power cut (PRAGMA synchronous).
enum class Durability {
  kNormal,  // the database is intact, the last commits may be gone
  kFull,    // the commit is on disk
};

class Database;

// One prepared statement. Bind the parameters in order, step through the rows; Reset to use it again.
// Errors: "<what>: <SQLite's words>"; a full disk is ResourceExhausted, a corrupt file or a value of
// the wrong type DataLoss, a broken constraint AlreadyExists, busy Unavailable.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  // The next parameter. The first failing Bind is reported by Step.
  Statement& Bind(int64_t value);
  Statement& Bind(std::string_view text);
  Statement& BindBlob(std::string_view bytes);
  Statement& BindNull();

  // True: there is a row to read. False: done.
  Result<bool> Step();
  // For statements without rows: steps to the end and resets.
  Result<> Run();
  // Ready for new parameters.
  void Reset();

  // Columns of the row, from 0; DataLoss when the stored type is another one.
  Result<int64_t> Int(int column) const;
  Result<uint64_t> Unsigned(int column) const;  // DataLoss when negative
  Result<std::string> Text(int column) const;
  Result<std::string> Blob(int column) const;
  bool IsNull(int column) const;

 private:
  friend class Database;
  Statement(sqlite3* db, sqlite3_stmt* stmt) : db_(db), stmt_(stmt) {}
  Error Failure(int rc) const;
  Error WrongType(int column, std::string_view wanted) const;

  sqlite3* db_ = nullptr;
  sqlite3_stmt* stmt_ = nullptr;
  int next_ = 1;
  int bind_error_ = 0;
};

// One step of a schema: run once, in order, inside a transaction; user_version counts them.
using Migration = std::string_view;

// Moves a database that cannot be used out of the way, for the operator: `path`.bad, and its log with it. One from before
// is replaced. Nobody may have it open.
Result<> SetAside(const std::string& path);

// Puts what CopyTo has made where a database is to be opened; false when there is no copy.
Result<bool> PutCopy(const std::string& copy, const std::string& path);

class Database {
 public:
  // `path` is absolute and in a directory that only root may write; made with mode 0600. WAL,
  // foreign keys on, trusted_schema off. FailedPrecondition when the file was written by a newer
  // schema than `migrations` knows; DataLoss when it is no database. ":memory:" for tests. Keeps
  // 5 MiB of the disk for its log while it is open: commits work when nothing else fits.
  static Result<Database> Open(const std::string& path, const std::vector<Migration>& migrations,
                               Durability durability = Durability::kNormal);
  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) noexcept;
  ~Database();

  // `sql` is a constant of ours, never built from input: one statement.
  Result<Statement> Prepare(std::string_view sql);
  // One or several statements without parameters or rows.
  Result<> Execute(const std::string& sql);
  // Rows that the last INSERT, UPDATE or DELETE changed.
  int64_t Changes() const;
  int64_t LastRowId() const;
  Result<> SetDurability(Durability durability);
  // Nothing had been stored there: Open has made every table.
  bool fresh() const { return fresh_; }
  // PRAGMA quick_check: DataLoss with the first complaint.
  Result<> Check();

  // All that is committed now, on disk at `path`, which is replaced when the copy is whole.
  Result<> CopyTo(const std::string& path);

  // BEGIN IMMEDIATE; runs `body`; COMMIT, or ROLLBACK and the body's error. Does not nest.
  Result<> Transact(const std::function<Result<>()>& body);

 private:
  explicit Database(sqlite3* db) : db_(db) {}
  Result<> Migrate(const std::vector<Migration>& migrations);
  sqlite3* db_ = nullptr;
  bool fresh_ = false;
};

}  // namespace berth::db
