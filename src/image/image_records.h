// SPDX-License-Identifier: Apache-2.0
// The durable part of the image store: images, their names and layers, and which container uses
// which layers. SQLite; what is of images and layers is synced with each commit, what is of containers as their own
// records are (docs/state.md). Owned by ImageStore, which serializes the calls.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "db/sqlite.h"
#include "image/images.h"
#include "image/unpack_protocol.h"

namespace berth::image {

//   images(id, config, process, labels, created)          id "sha256:<hex>"; process, labels in wire form
//   names(name, image_id, is_digest)                      "docker.io/library/x:1", "...x@sha256:..."
//   layers(diff_id, bytes, inodes, flags, implied, tree_sum, root_sum)   diff_id in hex: the directory layers/<diff_id>
//   image_layers(image_id, position, diff_id)             base first
//   signatures(image_id, repository, fingerprint)         by which key it was signed, as it was pulled
//   rootfs(container_id, image_id)                        which container uses which image ...
//   rootfs_layers(container_id, position, diff_id)        ... and which layers
//   volume_layers(container_id, volume, position, diff_id)  layers of its image volumes
struct LayerRecord {
  std::string diff_id;  // hex
  LayerResult result;   // its diff_id is the same
};

struct ImageRecord {
  std::string id;
  std::string config_json;
  ImageProcess process;
  std::map<std::string, std::string> labels;
  std::vector<std::string> layers;  // diff_ids in hex, base first
};

class ImageRecords {
 public:
  // `path`.copy is kept beside the database, as of the last pull or removal. A database that is damaged or lost is
  // set aside (db::SetAside) and made anew from it.
  static Result<ImageRecords> Open(const std::string& path);
  // That has happened: which containers use which images is not up to date.
  bool restored() const { return restored_; }

  // In one transaction: the layers that are new, the image, and its names, which move from whatever
  // image had them.
  Result<> Commit(const ImageRecord& image, const std::vector<LayerRecord>& new_layers,
                  const std::vector<std::string>& tags, const std::vector<std::string>& digests);

  Result<std::optional<ImageRecord>> Get(const std::string& id);
  // The image that has this name (tag or digest form).
  Result<std::optional<std::string>> ByName(const std::string& name);
  // An image with a name that ends with "@<digest>".
  Result<std::optional<std::string>> ByManifestDigest(const std::string& digest);
  // The one image whose id begins so ("sha256:..."); none when it is ambiguous.
  Result<std::optional<std::string>> ByPrefix(const std::string& prefix);
  Result<std::vector<std::string>> Ids();
  // tags, digests, size and user, of one image.
  Result<ImageInfo> Info(const ImageRecord& image);

  Result<bool> HasLayer(const std::string& diff_id);
  Result<std::optional<LayerRecord>> Layer(const std::string& diff_id);
  Result<std::vector<std::string>> Layers();
  // Every layer of the image has its record.
  Result<bool> IsWhole(const std::string& image_id);
  // Of a layer that was unpacked anew.
  Result<> PutLayer(const LayerRecord& layer);
  Result<std::vector<std::string>> ImagesWith(const std::string& diff_id);
  // Some container's root file system has the layer.
  Result<bool> LayerIsMounted(const std::string& diff_id);
  // By which key (its fingerprint) the image was signed when it was pulled from the repository.
  Result<> PutSignature(const std::string& image_id, const std::string& repository,
                        const std::string& fingerprint);
  Result<bool> HasSignature(const std::string& image_id, const std::string& repository,
                            const std::string& fingerprint);
  // Bytes and inodes of all layers.
  Result<Usage> Total();
  // The layer's directory is lost: its images are not whole until a pull brings it back.
  Result<> ForgetLayer(const std::string& diff_id);

  // Removes the image with its names, then the layers that neither an image nor a container uses
  // and that are not in `keep`; returns those.
  Result<std::vector<std::string>> RemoveImage(const std::string& id,
                                               const std::set<std::string>& keep);
  Result<std::vector<std::string>> RemoveUnusedLayers(const std::set<std::string>& keep);

  // These three may be lost in a power cut, which ends the containers anyhow; never after a later commit of an image.
  // AlreadyExists when the container has the rootfs of another image.
  Result<> AddRootfs(const std::string& container_id, const ImageRecord& image);
  // The volume uses the image's layers until RemoveRootfs; the rootfs is there. Again: the new image
  // counts.
  Result<> AddVolume(const std::string& container_id, uint32_t volume, const ImageRecord& image);
  Result<std::optional<std::vector<std::string>>> RootfsLayers(const std::string& container_id);
  Result<> RemoveRootfs(const std::string& container_id);
  Result<std::vector<std::string>> Rootfs();

 private:
  ImageRecords(db::Database database, std::string path, bool restored)
      : db_(std::move(database)), path_(std::move(path)), restored_(restored) {}
  void SaveCopy();
  Result<> OfContainer(const std::function<Result<>()>& work);
  Result<> InsertLayer(const LayerRecord& layer);
  Result<> InsertImage(const ImageRecord& image);
  Result<> PutName(const std::string& name, const std::string& id, bool is_digest);
  Result<std::vector<std::string>> Texts(std::string_view sql, const std::string& parameter);
  Result<> Delete(std::string_view sql, const std::string& parameter);
  Result<std::vector<std::string>> DeleteUnusedLayers(const std::set<std::string>& keep);

  db::Database db_;
  std::string path_;
  bool restored_ = false;
};

}  // namespace berth::image
