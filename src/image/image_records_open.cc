// SPDX-License-Identifier: Apache-2.0
// The tables of images.db, and opening it: a damaged one is set aside for its copy.
#include <unistd.h>

#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "image/image_records.h"

namespace berth::image {

namespace {

constexpr db::Migration kSchema1 = R"(
CREATE TABLE images(id TEXT PRIMARY KEY, config BLOB NOT NULL, process BLOB NOT NULL,
                    labels BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE names(name TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
                   is_digest INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX names_by_image ON names(image_id);
CREATE TABLE layers(diff_id TEXT PRIMARY KEY, bytes INTEGER NOT NULL, inodes INTEGER NOT NULL,
                    flags INTEGER NOT NULL, implied BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE image_layers(image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
                          position INTEGER NOT NULL, diff_id TEXT NOT NULL,
                          PRIMARY KEY(image_id, position)) WITHOUT ROWID;
CREATE INDEX image_layers_by_layer ON image_layers(diff_id);
CREATE TABLE rootfs(container_id TEXT PRIMARY KEY, image_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rootfs_layers(container_id TEXT NOT NULL REFERENCES rootfs(container_id) ON DELETE CASCADE,
                           position INTEGER NOT NULL, diff_id TEXT NOT NULL,
                           PRIMARY KEY(container_id, position)) WITHOUT ROWID;
CREATE INDEX rootfs_layers_by_layer ON rootfs_layers(diff_id);
)";

// Layers from before have 0: not known.
constexpr db::Migration kSchema2 = R"(
ALTER TABLE layers ADD COLUMN tree_sum INTEGER NOT NULL DEFAULT 0;
)";

constexpr db::Migration kSchema3 = R"(
CREATE TABLE signatures(image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
                        repository TEXT NOT NULL, fingerprint TEXT NOT NULL,
                        PRIMARY KEY(image_id, repository)) WITHOUT ROWID;
)";

// A volume has the layers of an image that may be gone by now.
constexpr db::Migration kSchema4 = R"(
CREATE TABLE volume_layers(container_id TEXT NOT NULL REFERENCES rootfs(container_id) ON DELETE CASCADE,
                           volume INTEGER NOT NULL, position INTEGER NOT NULL, diff_id TEXT NOT NULL,
                           PRIMARY KEY(container_id, volume, position)) WITHOUT ROWID;
CREATE INDEX volume_layers_by_layer ON volume_layers(diff_id);
)";

// The sum of the root directory; layers from before have 0: not known.
constexpr db::Migration kSchema5 = R"(
ALTER TABLE layers ADD COLUMN root_sum INTEGER NOT NULL DEFAULT 0;
)";

Result<db::Database> OpenSound(const std::string& path) {
  db::Database database = TRY(db::Database::Open(
      path, {kSchema1, kSchema2, kSchema3, kSchema4, kSchema5}, db::Durability::kFull));
  TRY(database.Check(), path);
  return database;
}

}  // namespace

Result<ImageRecords> ImageRecords::Open(const std::string& path) {
  const std::string copy = path + ".copy";
  const bool has_copy = ::access(copy.c_str(), F_OK) == 0;
  {
    Result<db::Database> database = OpenSound(path);
    if (!database && database.error().code() != Code::kDataLoss) return std::move(database.error());
    if (database && !(database->fresh() && has_copy)) {
      ImageRecords records(std::move(*database), path, false);
      if (!has_copy) records.SaveCopy();
      return records;
    }
    LogError(StrCat(database
                        ? StrCat(path, " was lost")
                        : StrCat(database.error().message(), ": it is set aside as ", path, ".bad"),
                    "; the image records are those of ", copy));
  }
  TRY(db::SetAside(path));
  TRY(db::PutCopy(copy, path));
  Result<db::Database> restored = OpenSound(path);
  if (restored || restored.error().code() != Code::kDataLoss)
    return ImageRecords(TRY(std::move(restored)), path, true);
  // The copy is no better. What is on disk stays until the next start; images are to be pulled again.
  LogError(restored.error().message());
  TRY(db::SetAside(path));
  return ImageRecords(TRY(OpenSound(path)), path, true);
}

void ImageRecords::SaveCopy() {
  // The records themselves are safe; the copy of before is still there.
  if (Result<> saved = db_.CopyTo(path_ + ".copy"); !saved) LogWarn(saved.error().message());
}

}  // namespace berth::image
