// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"
#include "image/fetch/local.h"

namespace berth::image::fetch {

namespace {

struct Sniffed {
  oci::Digest digest;
  oci::LayerCompression compression;
};

oci::LayerCompression CompressionOf(std::string_view head) {
  if (head.starts_with("\x1f\x8b")) return oci::LayerCompression::kGzip;
  if (head.starts_with("\x28\xb5\x2f\xfd")) return oci::LayerCompression::kZstd;
  return oci::LayerCompression::kNone;
}

// The layer's digest is only computed when it is not its diff_id.
Result<Sniffed> Sniff(Files& files, const std::string& file, const oci::Digest& diff_id) {
  std::string head;
  Sha256 hash;
  const Error stop(Code::kCancelled, "");
  bool plain = false;
  auto read = files.Stream(file, [&](std::string_view part) -> Result<> {
    if (head.size() < 4) head += part.substr(0, 4 - head.size());
    plain = CompressionOf(head) == oci::LayerCompression::kNone;
    if (plain && head.size() == 4) return stop.Clone();
    hash.Update(part);
    return Ok();
  });
  if (plain || head.empty()) return Sniffed{diff_id, oci::LayerCompression::kNone};
  if (!read) return std::move(read.error());
  return Sniffed{hash.Finish(), CompressionOf(head)};
}

}  // namespace

Result<Document> DockerArchive::GetManifest(const oci::Descriptor&) {
  return Error(Code::kUnimplemented, "docker archive: has no manifests");
}

Result<std::string> DockerArchive::GetBlob(const oci::Descriptor& descriptor, size_t limit) {
  std::string bytes;
  TRY(StreamBlob(descriptor, [&](std::string_view part) -> Result<> {
    if (part.size() > limit - bytes.size()) {
      return Error(Code::kResourceExhausted, StrCat(descriptor.digest.str(), ": too large"));
    }
    bytes += part;
    return Ok();
  }));
  return bytes;
}

Result<> DockerArchive::StreamBlob(const oci::Descriptor& descriptor, const BodySink& sink) {
  const auto found = names_.find(descriptor.digest);
  if (found == names_.end()) {
    return Error(Code::kNotFound, StrCat("blob ", descriptor.digest.str(), ": not in the archive"));
  }
  Verifier verifier(descriptor);
  TRY(files_->Stream(found->second, [&](std::string_view part) -> Result<> {
    TRY(verifier.Update(part));
    return sink(part);
  }));
  return verifier.Finish();
}

Result<oci::Layer> DockerArchive::MeasureLayer(const std::string& file,
                                               const oci::Digest& diff_id) {
  const uint64_t size = TRY(files_->Size(file));
  const Sniffed sniffed = TRY(Sniff(*files_, file, diff_id));
  names_.insert_or_assign(sniffed.digest, file);
  return oci::Layer{{"application/vnd.oci.image.layer.v1.tar",
                     sniffed.digest,
                     static_cast<int64_t>(size),
                     {},
                     {},
                     {},
                     ""},
                    sniffed.compression,
                    false};
}

Result<ResolvedImage> DockerArchive::Add(const std::string& config,
                                         const std::vector<std::string>& layers) {
  std::string json = TRY(files_->Read(config, oci::kMaxConfigBytes));
  oci::ImageConfig parsed = TRY(oci::ParseImageConfig(json));
  if (parsed.diff_ids.size() != layers.size()) {
    return Error(Code::kInvalidArgument,
                 StrCat(layers.size(), " layers but ", parsed.diff_ids.size(), " diff_ids"));
  }
  oci::Manifest manifest{std::string(oci::kDockerManifestType),
                         {std::string(oci::kDockerConfigType),
                          Sha256::Of(json),
                          static_cast<int64_t>(json.size()),
                          {},
                          {},
                          {},
                          ""},
                         {},
                         {}};
  for (size_t i = 0; i < layers.size(); ++i) {
    manifest.layers.push_back(TRY(MeasureLayer(layers[i], parsed.diff_ids[i]), Quote(layers[i])));
  }
  return ResolvedImage{std::move(manifest), std::move(parsed), std::move(json)};
}

}  // namespace berth::image::fetch
