// SPDX-License-Identifier: Apache-2.0
#include "oci/image.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/strings.h"
#include "oci/json_internal.h"

namespace berth::oci {

namespace {

struct LayerType {
  std::string_view media_type;
  LayerKind kind;
};

constexpr LayerKind kPlainLayer{LayerCompression::kNone, false};
constexpr LayerKind kGzipLayer{LayerCompression::kGzip, false};
constexpr LayerKind kZstdLayer{LayerCompression::kZstd, false};
constexpr LayerKind kPlainForeign{LayerCompression::kNone, true};
constexpr LayerKind kGzipForeign{LayerCompression::kGzip, true};
constexpr LayerKind kZstdForeign{LayerCompression::kZstd, true};

constexpr std::array kLayerTypes{
    LayerType{"application/vnd.oci.image.layer.v1.tar", kPlainLayer},
    LayerType{"application/vnd.oci.image.layer.v1.tar+gzip", kGzipLayer},
    LayerType{"application/vnd.oci.image.layer.v1.tar+zstd", kZstdLayer},
    LayerType{"application/vnd.oci.image.layer.nondistributable.v1.tar", kPlainForeign},
    LayerType{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", kGzipForeign},
    LayerType{"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", kZstdForeign},
    LayerType{"application/vnd.docker.image.rootfs.diff.tar", kPlainLayer},
    LayerType{"application/vnd.docker.image.rootfs.diff.tar.gzip", kGzipLayer},
    LayerType{"application/vnd.docker.image.rootfs.diff.tar.zstd", kZstdLayer},
    LayerType{"application/vnd.docker.image.rootfs.foreign.diff.tar", kPlainForeign},
    LayerType{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", kGzipForeign},
};

constexpr std::string_view kSchema1Prefix = "application/vnd.docker.distribution.manifest.v1+";

// Keys that decide what a document is. Go's decoder takes them in any case, so "Layers" beside
// "manifests" would be a manifest to others and an index to us.
constexpr std::array<std::string_view, 9> kDecidingKeys{"schemaVersion", "mediaType", "manifests",
                                                        "layers",        "config",    "fsLayers",
                                                        "history",       "digest",    "size"};

Error Invalid(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }
Error Refused(std::string message) { return Error(Code::kFailedPrecondition, std::move(message)); }

Result<> RejectOtherCase(const JsonReader& object) {
  TRY(object.ExpectObject());
  for (const auto& item : object.value().items()) {
    for (std::string_view key : kDecidingKeys) {
      if (item.key() != key && ToLower(item.key()) == ToLower(key)) {
        return object.Fail(StrCat("key ", Quote(item.key(), 32), " must be written ", key));
      }
    }
  }
  return Ok();
}

Result<Platform> ReadPlatform(const JsonReader& json) {
  Platform platform;
  platform.os = TRY(json.RequiredString("os"));
  platform.architecture = TRY(json.RequiredString("architecture"));
  platform.variant = TRY(json.OptionalString("variant"));
  platform.os_version = TRY(json.OptionalString("os.version"));
  return platform;
}

Result<Digest> ReadDigest(const JsonReader& json) {
  std::string text = TRY(json.String());
  return TRY(Digest::Parse(text), json.path());
}

Result<Descriptor> ReadDescriptor(const JsonReader& json) {
  TRY(RejectOtherCase(json));
  Digest digest = TRY(ReadDigest(TRY(json.Required("digest"))));
  int64_t size = TRY(TRY(json.Required("size")).Int(0, kMaxBlobBytes));
  // One member at a time: a TRY that returns from within a braced initialiser leaks the members
  // before it (gcc 12).
  Descriptor out{.digest = digest, .size = size};
  out.media_type = TRY(json.RequiredString("mediaType"));
  out.urls = TRY(json.OptionalStrings("urls", kMaxUrls));
  out.annotations = TRY(json.OptionalStringMap("annotations", kMaxListEntries));
  out.artifact_type = TRY(json.OptionalString("artifactType"));
  if (auto platform = TRY(json.Optional("platform"))) out.platform = TRY(ReadPlatform(*platform));
  return out;
}

bool IsConfigType(std::string_view type, bool docker) {
  if (type == kOciConfigType || type == kDockerConfigType) return true;
  // Some registries and old clients rewrote the type of Docker's configs; ParseImageConfig still
  // decides.
  return docker && (type == "application/octet-stream" || type == "application/json");
}

Result<Manifest> ReadManifest(const JsonReader& root, std::string media_type) {
  bool docker = media_type == kDockerManifestType;
  Descriptor config = TRY(ReadDescriptor(TRY(root.Required("config"))));
  if (!IsConfigType(config.media_type, docker)) {
    return Refused(StrCat("is an artifact, not a container image: config has media type ",
                          Quote(config.media_type, 100)));
  }
  Manifest manifest{.media_type = std::move(media_type), .config = std::move(config)};
  manifest.annotations = TRY(root.OptionalStringMap("annotations", kMaxListEntries));
  for (const JsonReader& json : TRY(TRY(root.Required("layers")).Elements(kMaxLayers))) {
    Descriptor descriptor = TRY(ReadDescriptor(json));
    LayerKind kind = TRY(ParseLayerType(descriptor.media_type), StrCat(json.path(), ".mediaType"));
    manifest.layers.push_back({std::move(descriptor), kind.compression, kind.foreign});
  }
  if (manifest.config.size > static_cast<int64_t>(kMaxConfigBytes)) {
    return Invalid(StrCat("config.size: larger than ", kMaxConfigBytes, " bytes"));
  }
  return manifest;
}

Result<Index> ReadIndex(const JsonReader& root, std::string media_type) {
  Index index{.media_type = std::move(media_type)};
  index.annotations = TRY(root.OptionalStringMap("annotations", kMaxListEntries));
  for (const JsonReader& json : TRY(TRY(root.Required("manifests")).Elements(kMaxIndexEntries))) {
    index.manifests.push_back(TRY(ReadDescriptor(json)));
  }
  return index;
}

// The type without parameters; "" for types that say nothing about the document.
std::string BareContentType(std::string_view content_type) {
  std::string type = ToLower(TrimSpace(content_type.substr(0, content_type.find(';'))));
  if (type == "application/json" || type == "application/octet-stream" || type == "text/plain") {
    type.clear();
  }
  return type;
}

Result<> RejectSchema1(const JsonReader& root, std::string_view type) {
  if (type.starts_with(kSchema1Prefix) || root.Has("fsLayers") || root.Has("history")) {
    return Refused("is a Docker schema 1 manifest, which is not supported");
  }
  int64_t version = TRY(TRY(root.Required("schemaVersion")).Int(0, 1000));
  if (version == 1) return Refused("is a Docker schema 1 manifest, which is not supported");
  if (version != 2) return Invalid(StrCat("schemaVersion: ", version, " is not 2"));
  return Ok();
}

// What the document says it is, what the sender says and what it is made of must be one and the
// same.
Result<std::string> DecideType(const JsonReader& root, const std::string& content_type) {
  bool index = root.Has("manifests");
  bool manifest = root.Has("layers") || root.Has("config");
  if (index && manifest) return Invalid("has the keys of a manifest and of an index");
  if (!index && !manifest) return Invalid("has the keys neither of a manifest nor of an index");
  std::string own = TRY(root.OptionalString("mediaType"));
  if (root.Has("mediaType") && own.empty()) return Invalid("mediaType: empty");
  if (!own.empty() && !content_type.empty() && own != content_type) {
    return Invalid(StrCat("mediaType: ", Quote(own, 100), " is not the content type ",
                          Quote(content_type, 100)));
  }
  std::string type = own.empty() ? content_type : own;
  if (type.empty()) return std::string(index ? kOciIndexType : kOciManifestType);
  if (!IsIndexType(type) && !IsManifestType(type)) {
    return Invalid(StrCat("media type ", Quote(type, 100), " is neither a manifest nor an index"));
  }
  if (IsIndexType(type) != index) {
    return Invalid(StrCat("media type ", Quote(type, 100), " but the keys of ",
                          index ? "an index" : "a manifest"));
  }
  return type;
}

Result<std::variant<Manifest, Index>> Parse(std::string_view bytes, std::string_view content_type) {
  Json tree = TRY(ParseJson(bytes, {.max_bytes = kMaxManifestBytes}, "document"));
  JsonReader root(tree);
  TRY(RejectOtherCase(root));
  std::string bare = BareContentType(content_type);
  TRY(RejectSchema1(root, bare));
  std::string type = TRY(DecideType(root, bare));
  if (IsIndexType(type)) return TRY(ReadIndex(root, std::move(type)));
  return TRY(ReadManifest(root, std::move(type)));
}

}  // namespace

bool IsIndexType(std::string_view media_type) {
  return media_type == kOciIndexType || media_type == kDockerIndexType;
}

bool IsManifestType(std::string_view media_type) {
  return media_type == kOciManifestType || media_type == kDockerManifestType;
}

Result<LayerKind> ParseLayerType(std::string_view media_type) {
  for (const LayerType& type : kLayerTypes) {
    if (type.media_type == media_type) return type.kind;
  }
  if (media_type.ends_with("+encrypted")) {
    return Refused(StrCat("encrypted layers are not supported: ", Quote(media_type, 100)));
  }
  return Refused(StrCat(Quote(media_type, 100), " is not a layer type of a container image"));
}

Result<std::variant<Manifest, Index>> ParseManifestOrIndex(std::string_view bytes,
                                                           std::string_view content_type) {
  return TRY(Parse(bytes, content_type), "manifest");
}

}  // namespace berth::oci
