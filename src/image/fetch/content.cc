// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/content.h"

#include "base/strings.h"

namespace berth::image::fetch {

namespace {

// A type that says nothing is no claim about what the document is; every other one must hold.
std::string_view ClaimedType(std::string_view content_type) {
  const std::string_view type = TrimSpace(content_type.substr(0, content_type.find(';')));
  if (type == "application/json" || type == "application/octet-stream" || type == "text/plain") {
    return "";
  }
  return type;
}

// CVE-2021-41190: what the descriptor calls it is what it must be.
Result<> CheckType(const oci::Descriptor& descriptor, const std::string& media_type) {
  if (descriptor.media_type == media_type) return Ok();
  return Error(Code::kInvalidArgument,
               StrCat("manifest ", descriptor.digest.str(), ": is ", Quote(media_type),
                      " where the index says ", Quote(descriptor.media_type)));
}

}  // namespace

Result<> Verifier::Update(std::string_view bytes) {
  seen_ += bytes.size();
  if (seen_ > static_cast<uint64_t>(expected_.size)) {
    return Error(Code::kDataLoss, StrCat("blob ", expected_.digest.str(), ": longer than the ",
                                         expected_.size, " bytes of its descriptor"));
  }
  hash_.Update(bytes);
  return Ok();
}

Result<> Verifier::Finish() {
  if (seen_ != static_cast<uint64_t>(expected_.size)) {
    return Error(Code::kDataLoss, StrCat("blob ", expected_.digest.str(), ": ", seen_,
                                         " bytes instead of ", expected_.size));
  }
  const oci::Digest actual = hash_.Finish();
  if (actual != expected_.digest) {
    return Error(Code::kDataLoss, StrCat("blob ", expected_.digest.str(),
                                         ": wrong content, its digest is ", actual.str()));
  }
  return Ok();
}

Result<std::variant<oci::Manifest, oci::Index>> ParseDocument(const Document& document) {
  return TRY(oci::ParseManifestOrIndex(document.bytes, ClaimedType(document.content_type)),
             document.digest.str());
}

Result<ResolvedImage> ResolveImage(Content& content, Document document,
                                   const oci::Platform& platform) {
  std::optional<oci::Descriptor> from;
  for (int depth = 0; depth <= kMaxIndexDepth; ++depth) {
    auto parsed = TRY(ParseDocument(document));
    if (auto* index = std::get_if<oci::Index>(&parsed)) {
      if (from) TRY(CheckType(*from, index->media_type));
      from = *TRY(oci::ChoosePlatform(*index, platform));
      document = TRY(content.GetManifest(*from));
      continue;
    }
    auto& manifest = std::get<oci::Manifest>(parsed);
    if (from) TRY(CheckType(*from, manifest.media_type));
    std::string json = TRY(content.GetBlob(manifest.config, oci::kMaxConfigBytes), "image config");
    auto config = TRY(oci::ParseImageConfig(json), "image config");
    TRY(oci::CheckConsistency(manifest, config));
    return ResolvedImage{std::move(manifest), std::move(config), std::move(json)};
  }
  return Error(Code::kInvalidArgument, StrCat("index nested more than ", kMaxIndexDepth, " deep"));
}

image::ImageProcess ToProcess(const oci::ImageProcess& process) {
  return {process.user,        process.env,         process.entrypoint, process.cmd,
          process.working_dir, process.stop_signal, process.volumes};
}

RemoteImage ToRemoteImage(const ResolvedImage& image) {
  // The id is the same by whatever digest a manifest names the config.
  RemoteImage out{
      Sha256::Of(image.config_json), {}, {}, image.config_json, ToProcess(image.config.process),
      image.config.process.labels,   {}};
  for (size_t i = 0; i < image.manifest.layers.size(); ++i) {
    const oci::Layer& layer = image.manifest.layers[i];
    out.layers.push_back({layer.descriptor.digest, image.config.diff_ids[i],
                          static_cast<uint64_t>(layer.descriptor.size), layer.compression});
  }
  return out;
}

}  // namespace berth::image::fetch
