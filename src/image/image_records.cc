// SPDX-License-Identifier: Apache-2.0
#include "image/image_records.h"

#include <utility>

#include "base/strings.h"
#include "base/wire.h"

namespace berth::image {

namespace {

constexpr int64_t kOpaqueRoot = 1, kDescribedRoot = 2;

std::string EncodeProcess(const ImageProcess& p) {
  wire::Writer out;
  out.Text(p.user);
  out.Texts(p.env);
  out.Texts(p.entrypoint);
  out.Texts(p.cmd);
  out.Text(p.working_dir);
  out.Text(p.stop_signal);
  out.Texts(p.volumes);
  return out.Take();
}

constexpr size_t kMaxCount = 1U << 16;
constexpr size_t kMaxText = 8U << 20;

Result<ImageProcess> DecodeProcess(std::string_view bytes) {
  wire::Reader in(bytes);
  ImageProcess p;
  p.user = TRY(in.Text(kMaxText));
  p.env = TRY(in.Texts(kMaxCount, kMaxText));
  p.entrypoint = TRY(in.Texts(kMaxCount, kMaxText));
  p.cmd = TRY(in.Texts(kMaxCount, kMaxText));
  p.working_dir = TRY(in.Text(kMaxText));
  p.stop_signal = TRY(in.Text(kMaxText));
  p.volumes = TRY(in.Texts(kMaxCount, kMaxText));
  TRY(in.End());
  return p;
}

std::string EncodeLabels(const std::map<std::string, std::string>& labels) {
  std::vector<std::string> flat;
  for (const auto& [key, value] : labels) {
    flat.push_back(key);
    flat.push_back(value);
  }
  wire::Writer out;
  out.Texts(flat);
  return out.Take();
}

Result<std::map<std::string, std::string>> DecodeLabels(std::string_view bytes) {
  wire::Reader in(bytes);
  std::vector<std::string> flat = TRY(in.Texts(2 * kMaxCount, kMaxText));
  TRY(in.End());
  if (flat.size() % 2 != 0) return Error(Code::kInvalidArgument, "odd number of labels");
  std::map<std::string, std::string> labels;
  for (size_t i = 0; i < flat.size(); i += 2) labels[std::move(flat[i])] = std::move(flat[i + 1]);
  return labels;
}

Error Corrupt(std::string_view what, Error error) {
  return std::move(error).Wrap(StrCat("image record ", what)).WithCode(Code::kDataLoss);
}

}  // namespace

Result<std::vector<std::string>> ImageRecords::Texts(std::string_view sql,
                                                     const std::string& parameter) {
  db::Statement rows = TRY(db_.Prepare(sql));
  if (!parameter.empty()) rows.Bind(parameter);
  std::vector<std::string> texts;
  while (TRY(rows.Step())) texts.push_back(TRY(rows.Text(0)));
  return texts;
}

Result<> ImageRecords::Delete(std::string_view sql, const std::string& parameter) {
  db::Statement statement = TRY(db_.Prepare(sql));
  return statement.Bind(parameter).Run();
}

Result<> ImageRecords::InsertLayer(const LayerRecord& layer) {
  db::Statement insert =
      TRY(db_.Prepare("INSERT OR REPLACE INTO layers(diff_id, bytes, inodes, flags, implied, "
                      "tree_sum, root_sum) VALUES(?, ?, ?, ?, ?, ?, ?)"));
  wire::Writer implied;
  implied.Texts(layer.result.implied_dirs);
  return insert.Bind(layer.diff_id)
      .Bind(static_cast<int64_t>(layer.result.bytes))
      .Bind(static_cast<int64_t>(layer.result.inodes))
      .Bind((layer.result.opaque_root ? kOpaqueRoot : 0) |
            (layer.result.described_root ? kDescribedRoot : 0))
      .BindBlob(implied.bytes())
      .Bind(static_cast<int64_t>(layer.result.tree_sum.entries))
      .Bind(static_cast<int64_t>(layer.result.tree_sum.root))
      .Run();
}

Result<> ImageRecords::InsertImage(const ImageRecord& image) {
  db::Statement insert = TRY(db_.Prepare(
      "INSERT INTO images(id, config, process, labels) VALUES(?, ?, ?, ?) ON CONFLICT(id) DO "
      "UPDATE SET config=excluded.config, process=excluded.process, labels=excluded.labels"));
  TRY(insert.Bind(image.id)
          .BindBlob(image.config_json)
          .BindBlob(EncodeProcess(image.process))
          .BindBlob(EncodeLabels(image.labels))
          .Run());
  TRY(Delete("DELETE FROM image_layers WHERE image_id=?", image.id));
  db::Statement layer =
      TRY(db_.Prepare("INSERT INTO image_layers(image_id, position, diff_id) VALUES(?, ?, ?)"));
  for (size_t i = 0; i < image.layers.size(); ++i)
    TRY(layer.Bind(image.id).Bind(static_cast<int64_t>(i)).Bind(image.layers[i]).Run());
  return Ok();
}

Result<> ImageRecords::PutName(const std::string& name, const std::string& id, bool is_digest) {
  db::Statement put =
      TRY(db_.Prepare("INSERT OR REPLACE INTO names(name, image_id, is_digest) VALUES(?, ?, ?)"));
  return put.Bind(name).Bind(id).Bind(int64_t{is_digest}).Run();
}

Result<> ImageRecords::Commit(const ImageRecord& image, const std::vector<LayerRecord>& new_layers,
                              const std::vector<std::string>& tags,
                              const std::vector<std::string>& digests) {
  TRY(db_.Transact([&]() -> Result<> {
    for (const LayerRecord& layer : new_layers) TRY(InsertLayer(layer));
    TRY(InsertImage(image));
    for (const std::string& tag : tags) TRY(PutName(tag, image.id, false));
    for (const std::string& digest : digests) TRY(PutName(digest, image.id, true));
    return Ok();
  }));
  SaveCopy();
  return Ok();
}

Result<std::optional<ImageRecord>> ImageRecords::Get(const std::string& id) {
  db::Statement row = TRY(db_.Prepare("SELECT config, process, labels FROM images WHERE id=?"));
  if (!TRY(row.Bind(id).Step())) return std::optional<ImageRecord>();
  ImageRecord image;
  image.id = id;
  image.config_json = TRY(row.Blob(0));
  Result<ImageProcess> process = DecodeProcess(TRY(row.Blob(1)));
  if (!process) return Corrupt(id, std::move(process.error()));
  image.process = std::move(*process);
  auto labels = DecodeLabels(TRY(row.Blob(2)));
  if (!labels) return Corrupt(id, std::move(labels.error()));
  image.labels = std::move(*labels);
  image.layers =
      TRY(Texts("SELECT diff_id FROM image_layers WHERE image_id=? ORDER BY position", id));
  return std::optional<ImageRecord>(std::move(image));
}

Result<std::optional<std::string>> ImageRecords::ByName(const std::string& name) {
  std::vector<std::string> ids = TRY(Texts("SELECT image_id FROM names WHERE name=?", name));
  if (ids.empty()) return std::optional<std::string>();
  return std::optional<std::string>(std::move(ids.front()));
}

Result<std::optional<std::string>> ImageRecords::ByManifestDigest(const std::string& digest) {
  std::vector<std::string> ids = TRY(Texts(
      "SELECT image_id FROM names WHERE is_digest=1 AND substr(name, -72)='@'||? LIMIT 1", digest));
  if (ids.empty()) return std::optional<std::string>();
  return std::optional<std::string>(std::move(ids.front()));
}

Result<std::optional<std::string>> ImageRecords::ByPrefix(const std::string& prefix) {
  // Ids are lower-case ASCII, so '~' sorts behind every continuation.
  std::vector<std::string> ids =
      TRY(Texts("SELECT id FROM images WHERE id>=?1 AND id<?1||'~' LIMIT 2", prefix));
  if (ids.size() != 1) return std::optional<std::string>();
  return std::optional<std::string>(std::move(ids.front()));
}

Result<std::vector<std::string>> ImageRecords::Ids() { return Texts("SELECT id FROM images", ""); }

Result<ImageInfo> ImageRecords::Info(const ImageRecord& image) {
  ImageInfo info;
  info.id = image.id;
  info.tags =
      TRY(Texts("SELECT name FROM names WHERE image_id=? AND is_digest=0 ORDER BY name", image.id));
  info.digests =
      TRY(Texts("SELECT name FROM names WHERE image_id=? AND is_digest=1 ORDER BY name", image.id));
  info.user = image.process.user;
  info.labels = image.labels;
  db::Statement sum =
      TRY(db_.Prepare("SELECT coalesce(sum(bytes), 0) FROM layers WHERE diff_id IN "
                      "(SELECT diff_id FROM image_layers WHERE image_id=?)"));
  if (TRY(sum.Bind(image.id).Step())) info.size_bytes = TRY(sum.Unsigned(0));
  // The kubelet takes 0 for a broken answer.
  info.size_bytes = std::max<uint64_t>(info.size_bytes + image.config_json.size(), 1);
  return info;
}

Result<bool> ImageRecords::HasLayer(const std::string& diff_id) {
  return !TRY(Texts("SELECT diff_id FROM layers WHERE diff_id=?", diff_id)).empty();
}

Result<std::optional<LayerRecord>> ImageRecords::Layer(const std::string& diff_id) {
  db::Statement row = TRY(db_.Prepare(
      "SELECT bytes, inodes, flags, implied, tree_sum, root_sum FROM layers WHERE diff_id=?"));
  if (!TRY(row.Bind(diff_id).Step())) return std::optional<LayerRecord>();
  LayerRecord layer;
  layer.diff_id = layer.result.diff_id = diff_id;
  layer.result.bytes = TRY(row.Unsigned(0));
  layer.result.inodes = TRY(row.Unsigned(1));
  const int64_t flags = TRY(row.Int(2));
  layer.result.opaque_root = (flags & kOpaqueRoot) != 0;
  layer.result.described_root = (flags & kDescribedRoot) != 0;
  const std::string implied = TRY(row.Blob(3));
  auto dirs = wire::Reader(implied).Texts(kMaxImpliedDirs);
  if (!dirs) return Corrupt(StrCat("layer ", diff_id), std::move(dirs.error()));
  layer.result.implied_dirs = std::move(*dirs);
  layer.result.tree_sum.entries = static_cast<uint64_t>(TRY(row.Int(4)));
  layer.result.tree_sum.root = static_cast<uint64_t>(TRY(row.Int(5)));
  return std::optional<LayerRecord>(std::move(layer));
}

Result<std::vector<std::string>> ImageRecords::Layers() {
  return Texts("SELECT diff_id FROM layers", "");
}

Result<bool> ImageRecords::IsWhole(const std::string& image_id) {
  db::Statement lost =
      TRY(db_.Prepare("SELECT 1 FROM image_layers WHERE image_id=? AND diff_id NOT IN "
                      "(SELECT diff_id FROM layers) LIMIT 1"));
  return !TRY(lost.Bind(image_id).Step());
}

Result<> ImageRecords::PutLayer(const LayerRecord& layer) {
  TRY(InsertLayer(layer));
  SaveCopy();
  return Ok();
}

Result<Usage> ImageRecords::Total() {
  db::Statement row =
      TRY(db_.Prepare("SELECT coalesce(sum(bytes), 0), coalesce(sum(inodes), 0) FROM layers"));
  Usage usage;
  if (TRY(row.Step())) {
    usage.used_bytes = TRY(row.Unsigned(0));
    usage.inodes = TRY(row.Unsigned(1));
  }
  return usage;
}

Result<> ImageRecords::ForgetLayer(const std::string& diff_id) {
  return Delete("DELETE FROM layers WHERE diff_id=?", diff_id);
}

Result<std::vector<std::string>> ImageRecords::DeleteUnusedLayers(
    const std::set<std::string>& keep) {
  std::vector<std::string> unused = TRY(
      Texts("SELECT diff_id FROM layers WHERE diff_id NOT IN (SELECT diff_id FROM image_layers) "
            "AND diff_id NOT IN (SELECT diff_id FROM rootfs_layers) "
            "AND diff_id NOT IN (SELECT diff_id FROM volume_layers)",
            ""));
  std::erase_if(unused, [&](const std::string& id) { return keep.contains(id); });
  for (const std::string& id : unused) TRY(ForgetLayer(id));
  return unused;
}

Result<std::vector<std::string>> ImageRecords::RemoveImage(const std::string& id,
                                                           const std::set<std::string>& keep) {
  std::vector<std::string> unused;
  TRY(db_.Transact([&]() -> Result<> {
    TRY(Delete("DELETE FROM images WHERE id=?", id));
    unused = TRY(DeleteUnusedLayers(keep));
    return Ok();
  }));
  SaveCopy();
  return unused;
}

Result<std::vector<std::string>> ImageRecords::RemoveUnusedLayers(
    const std::set<std::string>& keep) {
  std::vector<std::string> unused;
  TRY(db_.Transact([&]() -> Result<> {
    unused = TRY(DeleteUnusedLayers(keep));
    return Ok();
  }));
  return unused;
}

Result<> ImageRecords::PutSignature(const std::string& image_id, const std::string& repository,
                                    const std::string& fingerprint) {
  db::Statement put = TRY(db_.Prepare(
      "INSERT OR REPLACE INTO signatures(image_id, repository, fingerprint) VALUES(?, ?, ?)"));
  return put.Bind(image_id).Bind(repository).Bind(fingerprint).Run();
}

Result<bool> ImageRecords::HasSignature(const std::string& image_id, const std::string& repository,
                                        const std::string& fingerprint) {
  db::Statement row = TRY(
      db_.Prepare("SELECT 1 FROM signatures WHERE image_id=? AND repository=? AND fingerprint=?"));
  return row.Bind(image_id).Bind(repository).Bind(fingerprint).Step();
}

}  // namespace berth::image
