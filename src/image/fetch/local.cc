// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/local.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "image/fetch_protocol.h"
#include "oci/json.h"

namespace berth::image::fetch {

namespace {

constexpr size_t kMaxLayoutFile = 64u << 10;

std::string BlobName(const oci::Descriptor& descriptor) {
  return StrCat("blobs/", descriptor.digest.algorithm_name(), "/", descriptor.digest.hex());
}

Result<> CheckLayoutFile(Files& files) {
  const std::string text = TRY(files.Read("oci-layout", kMaxLayoutFile));
  TRY(oci::CheckJson(text, {.max_bytes = kMaxLayoutFile}, "oci-layout"));
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("imageLayoutVersion") ||
      !json["imageLayoutVersion"].is_string() ||
      !json["imageLayoutVersion"].get_ref<const std::string&>().starts_with("1.")) {
    return Error(Code::kInvalidArgument, "oci-layout: not version 1");
  }
  return Ok();
}

void AddName(LocalImage& image, const oci::Reference& name, const oci::Digest* manifest) {
  if (auto tag = name.TagForm()) image.tags.push_back(*tag);
  if (manifest != nullptr) image.digests.push_back(name.DigestForm(*manifest));
}

// The whole name if an annotation has one; "latest" or "v1" alone names nothing.
Result<std::optional<oci::Reference>> AnnotatedName(const oci::Descriptor& entry) {
  for (const char* key : {"io.containerd.image.name", "org.opencontainers.image.ref.name"}) {
    const auto found = entry.annotations.find(key);
    if (found == entry.annotations.end()) continue;
    if (found->second.find_first_of("/:") == std::string::npos) continue;
    return std::optional(TRY(oci::Reference::Parse(found->second), key));
  }
  return std::optional<oci::Reference>();
}

bool RunsHere(const oci::Descriptor& entry, const oci::Platform& platform) {
  if (!entry.platform) return true;
  const oci::Index alone{std::string(oci::kOciIndexType), {entry}, {}};
  return oci::ChoosePlatform(alone, platform).has_value();
}

Result<LocalImage> ReadEntry(LayoutContent& content, const oci::Descriptor& entry,
                             const oci::Platform& platform) {
  Document document = TRY(content.GetManifest(entry));
  LocalImage out{TRY(ResolveImage(content, std::move(document), platform)), {}, {}};
  if (auto name = TRY(AnnotatedName(entry))) AddName(out, *name, &entry.digest);
  return out;
}

Result<std::vector<LocalImage>> ReadLayout(LayoutContent& content, const std::string& name,
                                           const oci::Platform& platform) {
  TRY(CheckLayoutFile(content.files()));
  const std::string text = TRY(content.files().Read("index.json", oci::kMaxManifestBytes));
  const auto parsed = TRY(oci::ParseManifestOrIndex(text, oci::kOciIndexType), "index.json");
  const auto* index = std::get_if<oci::Index>(&parsed);
  if (index == nullptr) return Error(Code::kInvalidArgument, "index.json: not an index");
  std::vector<LocalImage> images;
  std::vector<oci::Digest> digests;
  for (const oci::Descriptor& entry : index->manifests) {
    const bool image =
        (oci::IsManifestType(entry.media_type) || oci::IsIndexType(entry.media_type)) &&
        entry.artifact_type.empty() && !entry.annotations.contains("vnd.docker.reference.type");
    if (!image || !RunsHere(entry, platform)) continue;
    if (images.size() == kMaxImages) {
      return Error(Code::kResourceExhausted,
                   StrCat("index.json: more than ", kMaxImages, " images"));
    }
    images.push_back(TRY(ReadEntry(content, entry, platform), entry.digest.str()));
    digests.push_back(entry.digest);
  }
  if (!name.empty() && images.size() == 1) {
    images[0].tags.clear();
    images[0].digests.clear();
    AddName(images[0], TRY(oci::Reference::Parse(name)), &digests[0]);
  }
  return images;
}

struct ArchiveEntry {
  std::string config;
  std::vector<std::string> names, layers;
};

Result<std::vector<std::string>> StringList(const nlohmann::json& entry, const char* key,
                                            size_t limit) {
  std::vector<std::string> out;
  if (!entry.contains(key) || entry[key].is_null()) return out;
  if (!entry[key].is_array() || entry[key].size() > limit) {
    return Error(Code::kInvalidArgument, StrCat("manifest.json: ", key, ": not a short list"));
  }
  for (const auto& item : entry[key]) {
    if (!item.is_string()) {
      return Error(Code::kInvalidArgument, StrCat("manifest.json: ", key, ": not strings"));
    }
    out.push_back(item.get<std::string>());
  }
  return out;
}

Result<std::vector<ArchiveEntry>> ParseArchiveManifest(const std::string& text) {
  TRY(oci::CheckJson(text, {}, "manifest.json"));
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_array() || json.empty() || json.size() > kMaxImages) {
    return Error(Code::kInvalidArgument, "manifest.json: not a list of 1 to 64 images");
  }
  std::vector<ArchiveEntry> entries;
  for (const auto& item : json) {
    if (!item.is_object() || !item.contains("Config") || !item["Config"].is_string()) {
      return Error(Code::kInvalidArgument, "manifest.json: Config: missing");
    }
    ArchiveEntry& entry = entries.emplace_back();
    entry.config = item["Config"].get<std::string>();
    entry.names = TRY(StringList(item, "RepoTags", 256));
    entry.layers = TRY(StringList(item, "Layers", oci::kMaxLayers));
  }
  return entries;
}

Result<std::vector<LocalImage>> ReadArchive(DockerArchive& archive, const std::string& name) {
  const std::string text = TRY(archive.files().Read("manifest.json", oci::kMaxManifestBytes));
  const auto entries = TRY(ParseArchiveManifest(text));
  std::vector<LocalImage> images;
  for (const ArchiveEntry& entry : entries) {
    LocalImage image{TRY(archive.Add(entry.config, entry.layers), Quote(entry.config)), {}, {}};
    const bool renamed = !name.empty() && entries.size() == 1;
    for (const std::string& given : renamed ? std::vector{name} : entry.names) {
      AddName(image, TRY(oci::Reference::Parse(given)), nullptr);
    }
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace

Result<LocalImages> OpenLocal(std::unique_ptr<Files> files, const std::string& name,
                              const oci::Platform& platform) {
  LocalImages out;
  // docker save of today writes both forms; the layout has digests for everything.
  if (TRY(files->Exists("oci-layout"))) {
    auto content = std::make_unique<LayoutContent>(std::move(files));
    out.images = TRY(ReadLayout(*content, name, platform), "OCI layout");
    out.content = std::move(content);
  } else if (TRY(files->Exists("manifest.json"))) {
    auto content = std::make_unique<DockerArchive>(std::move(files));
    out.images = TRY(ReadArchive(*content, name), "docker archive");
    out.content = std::move(content);
  } else {
    return Error(Code::kInvalidArgument, "neither an OCI layout nor a docker archive");
  }
  if (out.images.empty()) {
    return Error(Code::kNotFound, StrCat("no image for ", oci::PlatformText(platform)));
  }
  if (!name.empty() && out.images.size() != 1) {
    return Error(Code::kInvalidArgument,
                 StrCat("name ", Quote(name), " for ", out.images.size(), " images"));
  }
  return out;
}

Result<Document> LayoutContent::GetManifest(const oci::Descriptor& descriptor) {
  std::string bytes = TRY(GetBlob(descriptor, oci::kMaxManifestBytes));
  return Document{std::move(bytes), descriptor.media_type, descriptor.digest};
}

Result<std::string> LayoutContent::GetBlob(const oci::Descriptor& descriptor, size_t limit) {
  std::string bytes = TRY(files_->Read(BlobName(descriptor), limit));
  Verifier verifier(descriptor);
  TRY(verifier.Update(bytes));
  TRY(verifier.Finish());
  return bytes;
}

Result<> LayoutContent::StreamBlob(const oci::Descriptor& descriptor, const BodySink& sink) {
  Verifier verifier(descriptor);
  TRY(files_->Stream(BlobName(descriptor), [&](std::string_view part) -> Result<> {
    TRY(verifier.Update(part));
    return sink(part);
  }));
  return verifier.Finish();
}

}  // namespace berth::image::fetch
