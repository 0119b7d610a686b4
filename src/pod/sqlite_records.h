// SPDX-License-Identifier: Apache-2.0
// Records in <root>/berth.db: one row for each pod and container, the body as JSON
// (record_codec.h). Owned by the daemon; any thread (one lock around the database).
//
//   sandboxes(id PRIMARY KEY, version, body)
//   containers(id PRIMARY KEY, version, body, spec)     spec: config.json as the OCI runtime got it
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "db/sqlite.h"
#include "pod/records.h"

namespace berth::pod {

class SqliteRecords final : public Records {
 public:
  // `path` as of db::Database::Open. WAL, synchronous=NORMAL: after a power cut the last changes
  // may be missing, which Reconcile puts right; the file stays whole. A file that is damaged is set aside
  // (db::SetAside), what can still be read of it is kept, and Engine::Recover restores what runs.
  static Result<std::unique_ptr<SqliteRecords>> Open(const std::string& path);

  Result<> Put(const SandboxRecord& record) override;
  Result<> Put(const ContainerRecord& record) override;
  Result<> RemoveSandbox(const std::string& id) override;
  Result<> RemoveContainer(const std::string& id) override;
  Result<> RestoreSandbox(const std::string& id, const std::string& body) override;
  Result<> RestoreContainer(const std::string& id, const std::string& body,
                            const std::string& spec_json) override;
  Result<std::vector<SandboxRecord>> LoadSandboxes() override;
  Result<std::vector<ContainerRecord>> LoadContainers() override;

 private:
  explicit SqliteRecords(db::Database database);
  Guarded<db::Database> database_;
};

}  // namespace berth::pod
