// SPDX-License-Identifier: Apache-2.0
// What containers have mounted: which layers their root file systems and image volumes keep.
#include <string>
#include <vector>

#include "base/strings.h"
#include "image/image_records.h"

namespace berth::image {

// Its commits are not waited for until they are on the disk. The log is one: whatever is synced later syncs them too.
Result<> ImageRecords::OfContainer(const std::function<Result<>()>& work) {
  TRY(db_.SetDurability(db::Durability::kNormal));
  Result<> done = db_.Transact(work);
  TRY(db_.SetDurability(db::Durability::kFull));
  return done;
}

Result<> ImageRecords::AddRootfs(const std::string& container_id, const ImageRecord& image) {
  return OfContainer([&]() -> Result<> {
    const std::vector<std::string> old =
        TRY(Texts("SELECT image_id FROM rootfs WHERE container_id=?", container_id));
    if (!old.empty() && old.front() == image.id) return Ok();
    if (!old.empty())
      return Error(Code::kAlreadyExists,
                   StrCat("container has a root file system of image ", old.front()));
    db::Statement add = TRY(db_.Prepare("INSERT INTO rootfs(container_id, image_id) VALUES(?, ?)"));
    TRY(add.Bind(container_id).Bind(image.id).Run());
    db::Statement layer = TRY(
        db_.Prepare("INSERT INTO rootfs_layers(container_id, position, diff_id) VALUES(?, ?, ?)"));
    for (size_t i = 0; i < image.layers.size(); ++i)
      TRY(layer.Bind(container_id).Bind(static_cast<int64_t>(i)).Bind(image.layers[i]).Run());
    return Ok();
  });
}

Result<> ImageRecords::AddVolume(const std::string& container_id, uint32_t volume,
                                 const ImageRecord& image) {
  return OfContainer([&]() -> Result<> {
    db::Statement old =
        TRY(db_.Prepare("DELETE FROM volume_layers WHERE container_id=? AND volume=?"));
    TRY(old.Bind(container_id).Bind(int64_t{volume}).Run());
    db::Statement layer =
        TRY(db_.Prepare("INSERT INTO volume_layers(container_id, volume, position, diff_id) "
                        "VALUES(?, ?, ?, ?)"));
    for (size_t i = 0; i < image.layers.size(); ++i) {
      layer.Bind(container_id).Bind(int64_t{volume}).Bind(static_cast<int64_t>(i));
      TRY(layer.Bind(image.layers[i]).Run());
    }
    return Ok();
  });
}

Result<std::optional<std::vector<std::string>>> ImageRecords::RootfsLayers(
    const std::string& container_id) {
  if (TRY(Texts("SELECT image_id FROM rootfs WHERE container_id=?", container_id)).empty())
    return std::optional<std::vector<std::string>>();
  return std::optional<std::vector<std::string>>(TRY(Texts(
      "SELECT diff_id FROM rootfs_layers WHERE container_id=? ORDER BY position", container_id)));
}

Result<> ImageRecords::RemoveRootfs(const std::string& container_id) {
  return OfContainer(
      [&] { return Delete("DELETE FROM rootfs WHERE container_id=?", container_id); });
}

Result<std::vector<std::string>> ImageRecords::Rootfs() {
  return Texts("SELECT container_id FROM rootfs", "");
}

Result<std::vector<std::string>> ImageRecords::ImagesWith(const std::string& diff_id) {
  return Texts("SELECT DISTINCT image_id FROM image_layers WHERE diff_id=?", diff_id);
}

Result<bool> ImageRecords::LayerIsMounted(const std::string& diff_id) {
  return !TRY(Texts("SELECT container_id FROM rootfs_layers WHERE diff_id=?", diff_id)).empty() ||
         !TRY(Texts("SELECT container_id FROM volume_layers WHERE diff_id=?", diff_id)).empty();
}

}  // namespace berth::image
