// SPDX-License-Identifier: Apache-2.0
#include "db/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <limits>
#include <utility>

#include "base/strings.h"

namespace berth::db {

namespace {

constexpr int kBusyMillis = 5000;
// More than the log has when SQLite begins it anew (wal_autocheckpoint: 1000 pages of 4 KiB).
constexpr off_t kLogReserve = 5 << 20;

Code CodeOf(int rc) {
  switch (rc & 0xff) {
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
      return Code::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Code::kDataLoss;
    case SQLITE_CONSTRAINT:
      return Code::kAlreadyExists;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Code::kUnavailable;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return Code::kPermissionDenied;
    default:
      return Code::kInternal;
  }
}

Error DbError(sqlite3* db, int rc, std::string_view what) {
  // sqlite3_errmsg belongs to the last call on the connection, which is the one that failed.
  const char* words = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
  return Error(CodeOf(rc), StrCat(what, ": ", words));
}

// SQLite makes files with 0644 and gives -wal and -shm the mode of the database: make it first.
Result<> MakePrivateFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return ErrnoError(StrCat("open database ", path));
  ::close(fd);
  return Ok();
}

// Blocks for the log, so that a commit that makes room (a removal) works on a full disk too. Without
// them, on a disk that is full already or a file system that cannot, everything else still works.
void ReserveLog(const std::string& path) {
  const int fd = ::open((path + "-wal").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;
  static_cast<void>(::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, kLogReserve));
  ::close(fd);
}

std::string_view Pragma(Durability durability) {
  return durability == Durability::kFull ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL";
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : db_(other.db_),
      stmt_(std::exchange(other.stmt_, nullptr)),
      next_(other.next_),
      bind_error_(other.bind_error_) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  if (this != &other) {
    sqlite3_finalize(stmt_);
    db_ = other.db_;
    stmt_ = std::exchange(other.stmt_, nullptr);
    next_ = other.next_;
    bind_error_ = other.bind_error_;
  }
  return *this;
}

Statement::~Statement() { sqlite3_finalize(stmt_); }

Error Statement::Failure(int rc) const {
  const char* sql = sqlite3_sql(stmt_);
  return DbError(db_, rc, StrCat("database: ", sql != nullptr ? sql : ""));
}

Statement& Statement::Bind(int64_t value) {
  const int rc = sqlite3_bind_int64(stmt_, next_++, value);
  if (bind_error_ == SQLITE_OK) bind_error_ = rc;
  return *this;
}

Statement& Statement::Bind(std::string_view text) {
  const int rc = sqlite3_bind_text64(stmt_, next_++, text.data() != nullptr ? text.data() : "",
                                     text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (bind_error_ == SQLITE_OK) bind_error_ = rc;
  return *this;
}

Statement& Statement::BindBlob(std::string_view bytes) {
  // A null pointer would bind NULL, not the empty blob.
  const int rc = sqlite3_bind_blob64(stmt_, next_++, bytes.empty() ? "" : bytes.data(),
                                     bytes.size(), SQLITE_TRANSIENT);
  if (bind_error_ == SQLITE_OK) bind_error_ = rc;
  return *this;
}

Statement& Statement::BindNull() {
  const int rc = sqlite3_bind_null(stmt_, next_++);
  if (bind_error_ == SQLITE_OK) bind_error_ = rc;
  return *this;
}

Result<bool> Statement::Step() {
  if (bind_error_ != SQLITE_OK) return Failure(bind_error_);
  const int rc = sqlite3_step(stmt_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  Error error = Failure(rc);
  sqlite3_reset(stmt_);
  return error;
}

Result<> Statement::Run() {
  for (;;) {
    if (TRY(Step())) continue;
    Reset();
    return Ok();
  }
}

void Statement::Reset() {
  sqlite3_reset(stmt_);
  sqlite3_clear_bindings(stmt_);
  next_ = 1;
  bind_error_ = SQLITE_OK;
}

Error Statement::WrongType(int column, std::string_view wanted) const {
  const char* name = sqlite3_column_name(stmt_, column);
  return Error(Code::kDataLoss, StrCat("database: column ", name != nullptr ? name : "?", " of ",
                                       sqlite3_sql(stmt_), " is no ", wanted));
}

Result<int64_t> Statement::Int(int column) const {
  if (sqlite3_column_type(stmt_, column) != SQLITE_INTEGER) return WrongType(column, "integer");
  return static_cast<int64_t>(sqlite3_column_int64(stmt_, column));
}

Result<uint64_t> Statement::Unsigned(int column) const {
  const int64_t value = TRY(Int(column));
  if (value < 0) return WrongType(column, "unsigned integer");
  return static_cast<uint64_t>(value);
}

Result<std::string> Statement::Text(int column) const {
  if (sqlite3_column_type(stmt_, column) != SQLITE_TEXT) return WrongType(column, "text");
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(stmt_, column));
  if (text == nullptr) return Failure(SQLITE_NOMEM);
  return std::string(text, static_cast<size_t>(sqlite3_column_bytes(stmt_, column)));
}

Result<std::string> Statement::Blob(int column) const {
  if (sqlite3_column_type(stmt_, column) != SQLITE_BLOB) return WrongType(column, "blob");
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(stmt_, column));
  const int size = sqlite3_column_bytes(stmt_, column);
  return bytes != nullptr ? std::string(bytes, static_cast<size_t>(size)) : std::string();
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(stmt_, column) == SQLITE_NULL;
}

Result<> SetAside(const std::string& path) {
  for (const char* suffix : {"", "-wal"}) {
    const std::string from = path + suffix;
    if (::rename(from.c_str(), StrCat(path, ".bad", suffix).c_str()) != 0 && errno != ENOENT)
      return ErrnoError(StrCat("set aside ", from));
  }
  if (::unlink((path + "-shm").c_str()) != 0 && errno != ENOENT)
    return ErrnoError(StrCat("remove ", path, "-shm"));
  return Ok();
}

Result<bool> PutCopy(const std::string& copy, const std::string& path) {
  const int from = ::open(copy.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (from < 0 && errno == ENOENT) return false;
  if (from < 0) return ErrnoError(StrCat("open ", copy));
  const int to = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  ssize_t n = to < 0 ? -1 : 1;
  while (n > 0) n = ::sendfile(to, from, nullptr, 1U << 20);
  if (n == 0 && ::fsync(to) != 0) n = -1;
  const int error = errno;
  ::close(from);
  if (to >= 0) ::close(to);
  if (n < 0) return ErrnoError(StrCat("copy ", copy, " to ", path), error);
  return true;
}

Result<Database> Database::Open(const std::string& path, const std::vector<Migration>& migrations,
                                Durability durability) {
  if (path != ":memory:") TRY(MakePrivateFile(path));
  sqlite3* raw = nullptr;
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE;
  const int rc = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  Database database(raw);
  const std::string what = StrCat("open database ", path);
  if (rc != SQLITE_OK) return DbError(raw, rc, what);
  sqlite3_busy_timeout(raw, kBusyMillis);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  TRY(database.Execute("PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON"), what);
  TRY(database.SetDurability(durability), what);
  TRY(database.Migrate(migrations), what);
  if (path != ":memory:") ReserveLog(path);
  return database;
}

Database::Database(Database&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)), fresh_(other.fresh_) {}

Database& Database::operator=(Database&& other) noexcept {
  if (this != &other) {
    sqlite3_close_v2(db_);
    db_ = std::exchange(other.db_, nullptr);
    fresh_ = other.fresh_;
  }
  return *this;
}

Database::~Database() { sqlite3_close_v2(db_); }

Result<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* stmt = nullptr;
  const int rc = sqlite3_prepare_v2(db_, sql.data(), static_cast<int>(sql.size()), &stmt, nullptr);
  if (rc != SQLITE_OK) return DbError(db_, rc, StrCat("database: ", sql));
  return Statement(db_, stmt);
}

Result<> Database::Execute(const std::string& sql) {
  const int rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return DbError(db_, rc, StrCat("database: ", sql));
  return Ok();
}

int64_t Database::Changes() const { return sqlite3_changes64(db_); }

int64_t Database::LastRowId() const { return sqlite3_last_insert_rowid(db_); }

Result<> Database::SetDurability(Durability durability) {
  return Execute(std::string(Pragma(durability)));
}

Result<> Database::CopyTo(const std::string& path) {
  const std::string part = path + ".part";
  if (::unlink(part.c_str()) != 0 && errno != ENOENT) return ErrnoError(StrCat("remove ", part));
  TRY(MakePrivateFile(part));
  Statement copy = TRY(Prepare("VACUUM INTO ?"));
  TRY(copy.Bind(std::string_view(part)).Run());
  const int fd = ::open(part.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  const bool synced = fd >= 0 && ::fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!synced) return ErrnoError(StrCat("sync ", part), error);
  if (::rename(part.c_str(), path.c_str()) != 0) return ErrnoError(StrCat("rename ", part));
  return Ok();
}

Result<> Database::Check() {
  Statement check = TRY(Prepare("PRAGMA quick_check(1)"));
  if (!TRY(check.Step())) return Error(Code::kDataLoss, "database: no answer to quick_check");
  const std::string answer = TRY(check.Text(0));
  if (answer != "ok") return Error(Code::kDataLoss, StrCat("database: ", answer));
  return Ok();
}

Result<> Database::Transact(const std::function<Result<>()>& body) {
  TRY(Execute("BEGIN IMMEDIATE"));
  Result<> done = body();
  if (done) done = Execute("COMMIT");
  // After some errors (a full disk) SQLite has rolled back by itself.
  if (!done && sqlite3_get_autocommit(db_) == 0) {
    Result<> undone = Execute("ROLLBACK");
    if (!undone) return std::move(done.error()).Wrap(undone.error().message());
  }
  return done;
}

Result<> Database::Migrate(const std::vector<Migration>& migrations) {
  return Transact([&]() -> Result<> {
    int64_t version = 0;
    {
      Statement read = TRY(Prepare("PRAGMA user_version"));
      if (TRY(read.Step())) version = TRY(read.Int(0));
    }
    const auto known = static_cast<int64_t>(migrations.size());
    if (version < 0 || version > known)
      return Error(Code::kFailedPrecondition,
                   StrCat("schema version ", version, " is newer than this program's ", known));
    fresh_ = version == 0;
    for (int64_t i = version; i < known; ++i)
      TRY(Execute(std::string(migrations[static_cast<size_t>(i)])), StrCat("schema step ", i + 1));
    if (version < known) TRY(Execute(StrCat("PRAGMA user_version=", known)));
    return Ok();
  });
}

}  // namespace berth::db
