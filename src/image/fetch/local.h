// SPDX-License-Identifier: Apache-2.0
// The images of a local source: OCI layout (directory or tar) or docker archive. Owned by the
// session; any thread once made. OCI image-spec image-layout.md; docker save format v1.2.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "image/fetch/content.h"
#include "image/fetch/files.h"

namespace berth::image::fetch {

struct LocalImage {
  ResolvedImage image;
  std::vector<std::string> tags;
  std::vector<std::string> digests;
};

// Blobs by digest in blobs/sha256/.
class LayoutContent final : public Content {
 public:
  explicit LayoutContent(std::unique_ptr<Files> files) : files_(std::move(files)) {}
  Result<Document> GetManifest(const oci::Descriptor& descriptor) override;
  Result<std::string> GetBlob(const oci::Descriptor& descriptor, size_t limit) override;
  Result<> StreamBlob(const oci::Descriptor& descriptor, const BodySink& sink) override;
  Files& files() { return *files_; }

 private:
  std::unique_ptr<Files> files_;
};

// What docker save wrote before it wrote layouts: blobs under names that manifest.json gives.
class DockerArchive final : public Content {
 public:
  explicit DockerArchive(std::unique_ptr<Files> files) : files_(std::move(files)) {}
  Result<Document> GetManifest(const oci::Descriptor& descriptor) override;
  Result<std::string> GetBlob(const oci::Descriptor& descriptor, size_t limit) override;
  Result<> StreamBlob(const oci::Descriptor& descriptor, const BodySink& sink) override;
  // One entry of manifest.json: its config and layers get digests and sizes.
  Result<ResolvedImage> Add(const std::string& config, const std::vector<std::string>& layers);
  Files& files() { return *files_; }

 private:
  Result<oci::Layer> MeasureLayer(const std::string& file, const oci::Digest& diff_id);
  std::unique_ptr<Files> files_;
  std::map<oci::Digest, std::string> names_;  // complete before the first StreamBlob
};

struct LocalImages {
  std::unique_ptr<Content> content;
  std::vector<LocalImage> images;
};
// Every image of the source that runs on `platform`; NotFound when there is none. `name` replaces
// the names of the only image. InvalidArgument for what is neither a layout nor a docker archive.
Result<LocalImages> OpenLocal(std::unique_ptr<Files> files, const std::string& name,
                              const oci::Platform& platform);

}  // namespace berth::image::fetch
