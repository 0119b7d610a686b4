// SPDX-License-Identifier: Apache-2.0
// Where documents and blobs are read from, and the way from a first document to an image.
// Implemented by RegistryContent, LayoutContent and DockerArchive. Owned by the session; any thread
// once made.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "image/fetch/http.h"
#include "image/fetcher.h"
#include "image/hash.h"
#include "oci/image.h"

namespace berth::image::fetch {

struct Document {
  std::string bytes;
  std::string content_type;  // "" when the source has none
  oci::Digest digest;        // of the bytes
};

class Content {
 public:
  virtual ~Content() = default;
  // The manifest or index that the descriptor names; its digest and size were checked.
  virtual Result<Document> GetManifest(const oci::Descriptor& descriptor) = 0;
  // A small blob as a whole; the same checks.
  virtual Result<std::string> GetBlob(const oci::Descriptor& descriptor, size_t limit) = 0;
  // Every byte to `sink`; the same checks, known at the end. Aborted is the sink's own failure.
  virtual Result<> StreamBlob(const oci::Descriptor& descriptor, const BodySink& sink) = 0;
};

// Counts and hashes what passes: DataLoss as soon as it is too long, and at the end when size or
// digest differ.
class Verifier {
 public:
  explicit Verifier(const oci::Descriptor& expected)
      : expected_(expected), hash_(expected.digest.algorithm()) {}
  Result<> Update(std::string_view bytes);
  Result<> Finish();
  uint64_t seen() const { return seen_; }

 private:
  const oci::Descriptor& expected_;
  Hash hash_;
  uint64_t seen_ = 0;
};

struct ResolvedImage {
  oci::Manifest manifest;
  oci::ImageConfig config;
  std::string config_json;
};

// index -> platform -> manifest -> config, at most kMaxIndexDepth indexes deep.
inline constexpr int kMaxIndexDepth = 3;
// By the type that it came with, if that says anything.
Result<std::variant<oci::Manifest, oci::Index>> ParseDocument(const Document& document);
Result<ResolvedImage> ResolveImage(Content& content, Document document,
                                   const oci::Platform& platform);

// Without names.
RemoteImage ToRemoteImage(const ResolvedImage& image);
image::ImageProcess ToProcess(const oci::ImageProcess& process);

}  // namespace berth::image::fetch
