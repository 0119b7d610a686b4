// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"
#include "base/wire.h"
#include "image/fetch_protocol.h"
#include "image/hash.h"

namespace berth::image::fetch {

namespace {

constexpr size_t kMaxNames = 1024;
constexpr size_t kMaxText = 4u << 20;  // a document is at most as large

void Put(wire::Writer& w, const RemoteImage& image) {
  w.Text(image.config_digest.str());
  w.Texts(image.tags);
  w.Texts(image.digests);
  w.Text(image.config_json);
  w.Text(image.process.user);
  w.Texts(image.process.env);
  w.Texts(image.process.entrypoint);
  w.Texts(image.process.cmd);
  w.Text(image.process.working_dir);
  w.Text(image.process.stop_signal);
  w.Texts(image.process.volumes);
  w.U32(static_cast<uint32_t>(image.labels.size()));
  for (const auto& [key, value] : image.labels) {
    w.Text(key);
    w.Text(value);
  }
  w.U32(static_cast<uint32_t>(image.layers.size()));
  for (const RemoteLayer& layer : image.layers) {
    w.Text(layer.digest.str());
    w.Text(layer.diff_id.str());
    w.U64(layer.size);
    w.U8(static_cast<uint8_t>(layer.compression));
  }
}

Result<oci::Digest> GetDigest(wire::Reader& r) {
  return oci::Digest::Parse(TRY(r.Text(oci::Digest::kMaxText)));
}

Result<ImageProcess> GetProcess(wire::Reader& r) {
  ImageProcess p;
  p.user = TRY(r.Text(kMaxText));
  p.env = TRY(r.Texts(oci::kMaxListEntries, kMaxText));
  p.entrypoint = TRY(r.Texts(oci::kMaxListEntries, kMaxText));
  p.cmd = TRY(r.Texts(oci::kMaxListEntries, kMaxText));
  p.working_dir = TRY(r.Text(kMaxText));
  p.stop_signal = TRY(r.Text(kMaxText));
  p.volumes = TRY(r.Texts(oci::kMaxListEntries, kMaxText));
  return p;
}

Result<RemoteLayer> GetLayer(wire::Reader& r) {
  const oci::Digest digest = TRY(GetDigest(r));
  const oci::Digest diff_id = TRY(GetDigest(r));
  if (diff_id.algorithm() != oci::Digest::Algorithm::kSha256)
    return Error(Code::kInvalidArgument, "diff_id is no sha256");
  const uint64_t size = TRY(r.U64());
  const uint8_t compression = TRY(r.U8());
  if (size > static_cast<uint64_t>(oci::kMaxBlobBytes) ||
      compression > static_cast<uint8_t>(oci::LayerCompression::kZstd)) {
    return Error(Code::kInvalidArgument, "layer of impossible size or compression");
  }
  return RemoteLayer{digest, diff_id, size, static_cast<oci::LayerCompression>(compression)};
}

// Names end in the database and in CRI answers: only canonical ones.
Result<> CheckNames(const RemoteImage& image) {
  for (const std::string& tag : image.tags) {
    const auto name = TRY(oci::Reference::Parse(tag));
    if (name.TagForm() != tag) return Error(Code::kInvalidArgument, "name is not canonical");
  }
  for (const std::string& digest : image.digests) {
    const auto name = TRY(oci::Reference::Parse(digest));
    if (!name.digest() || name.tag() || name.str() != digest) {
      return Error(Code::kInvalidArgument, "digest name is not canonical");
    }
  }
  return Ok();
}

Result<RemoteImage> GetImage(wire::Reader& r) {
  RemoteImage image{TRY(GetDigest(r)), {}, {}, {}, {}, {}, {}};
  image.tags = TRY(r.Texts(kMaxNames));
  image.digests = TRY(r.Texts(kMaxNames));
  TRY(CheckNames(image));
  image.config_json = TRY(r.Text(oci::kMaxConfigBytes));
  if (Sha256::Of(image.config_json) != image.config_digest) {
    return Error(Code::kDataLoss, "config is not what its digest says");
  }
  image.process = TRY(GetProcess(r));
  const uint32_t labels = TRY(r.U32());
  if (labels > oci::kMaxListEntries) return Error(Code::kInvalidArgument, "too many labels");
  for (uint32_t i = 0; i < labels; ++i) {
    std::string key = TRY(r.Text(kMaxText));
    image.labels[std::move(key)] = TRY(r.Text(kMaxText));
  }
  const uint32_t layers = TRY(r.U32());
  if (layers > oci::kMaxLayers) return Error(Code::kInvalidArgument, "too many layers");
  for (uint32_t i = 0; i < layers; ++i) image.layers.push_back(TRY(GetLayer(r)));
  return image;
}

Result<std::vector<RemoteImage>> GetImages(std::string_view bytes) {
  wire::Reader r(bytes);
  const uint32_t count = TRY(r.U32());
  if (count == 0 || count > kMaxImages) {
    return Error(Code::kInvalidArgument, StrCat(count, " images"));
  }
  std::vector<RemoteImage> images;
  images.reserve(count);
  for (uint32_t i = 0; i < count; ++i) images.push_back(TRY(GetImage(r)));
  TRY(r.End());
  return images;
}

}  // namespace

std::string EncodeImages(const std::vector<RemoteImage>& images) {
  wire::Writer w;
  w.U32(static_cast<uint32_t>(images.size()));
  for (const RemoteImage& image : images) Put(w, image);
  return w.Take();
}

Result<std::vector<RemoteImage>> DecodeImages(std::string_view bytes) {
  auto images = GetImages(bytes);
  if (!images) return std::move(images.error()).WithCode(Code::kDataLoss);
  return images;
}

}  // namespace berth::image::fetch
