// SPDX-License-Identifier: Apache-2.0
// Image documents: manifest, index and image config as checked structs, from the bytes a registry
// sent. Pure functions; any thread. Every limit is a constant here. Spec: OCI image-spec v1.1,
// Docker schema 2.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "oci/digest.h"

namespace berth::oci {

inline constexpr std::string_view kOciManifestType = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndexType = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciConfigType = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kDockerManifestType =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerIndexType =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerConfigType =
    "application/vnd.docker.container.image.v1+json";

inline constexpr size_t kMaxManifestBytes = 4u << 20;
inline constexpr size_t kMaxConfigBytes = 4u << 20;
inline constexpr size_t kMaxLayers = 128;
inline constexpr size_t kMaxIndexEntries = 1024;
inline constexpr size_t kMaxUrls = 64;
inline constexpr size_t kMaxListEntries = 8192;  // Env, Cmd, Labels, annotations ...
inline constexpr int64_t kMaxBlobBytes = int64_t{1} << 40;

struct Platform {
  std::string os = {};
  std::string architecture = {};
  std::string variant = {};  // "" when none
  std::string os_version = {};
  friend bool operator==(const Platform&, const Platform&) = default;
};

// "linux/arm/v7".
std::string PlatformText(const Platform& platform);

struct Descriptor {
  std::string media_type = {};
  Digest digest;
  int64_t size;                        // bytes, 0 .. kMaxBlobBytes
  std::vector<std::string> urls = {};  // never fetched from unless the operator allows it
  std::optional<Platform> platform = std::nullopt;
  std::map<std::string, std::string> annotations = {};
  std::string artifact_type = {};
};

enum class LayerCompression { kNone, kGzip, kZstd };

struct Layer {
  Descriptor descriptor;
  LayerCompression compression;
  bool foreign;  // non-distributable: the registry need not have it, only `urls` may
};

struct Manifest {
  std::string media_type = {};  // kOciManifestType or kDockerManifestType
  Descriptor config;
  std::vector<Layer> layers = {};  // base first
  std::map<std::string, std::string> annotations = {};
};

struct Index {
  std::string media_type = {};  // kOciIndexType or kDockerIndexType
  std::vector<Descriptor> manifests = {};
  std::map<std::string, std::string> annotations = {};
};

// What a container gets when its CRI config does not say otherwise.
struct ImageProcess {
  std::string user = {};
  std::vector<std::string> env = {};  // "NAME=value"
  std::vector<std::string> entrypoint = {};
  std::vector<std::string> cmd = {};
  std::string working_dir = {};  // as it came: "", absolute or relative to /
  std::map<std::string, std::string> labels = {};
  std::string stop_signal = {};                 // "" when the image has none
  std::vector<std::string> volumes = {};        // paths
  std::vector<std::string> exposed_ports = {};  // "80/tcp"
  friend bool operator==(const ImageProcess&, const ImageProcess&) = default;
};

struct ImageConfig {
  Platform platform = {};
  std::string created = {};  // RFC 3339 text as it came, "" when absent
  ImageProcess process = {};
  std::vector<Digest> diff_ids = {};  // base first
  friend bool operator==(const ImageConfig&, const ImageConfig&) = default;
};

// `content_type` is the registry's header or the type in the descriptor that led here ("" when
// neither is known; parameters after ';' are ignored). InvalidArgument, naming the JSON path, for a
// document that breaks the spec or a limit, that is both manifest and index, or whose mediaType is
// not the content type (CVE-2021-41190). FailedPrecondition for a valid document that is no
// container image (artifact, schema 1, encrypted layer).
Result<std::variant<Manifest, Index>> ParseManifestOrIndex(std::string_view bytes,
                                                           std::string_view content_type);

Result<ImageConfig> ParseImageConfig(std::string_view bytes);
// The same config as the smallest document that ParseImageConfig reads back; not the bytes that
// were hashed.
Result<std::string> EncodeImageConfig(const ImageConfig& config);
// InvalidArgument unless there is exactly one diff_id for each layer.
Result<> CheckConsistency(const Manifest& manifest, const ImageConfig& config);

// FailedPrecondition for a media type that is no layer, or an encrypted one.
struct LayerKind {
  LayerCompression compression;
  bool foreign;
};
Result<LayerKind> ParseLayerType(std::string_view media_type);
bool IsIndexType(std::string_view media_type);
bool IsManifestType(std::string_view media_type);

// The platform with the usual aliases replaced: aarch64 -> arm64, x86_64 -> amd64, arm -> arm/v7,
// arm64/v8 -> arm64.
Platform NormalizePlatform(Platform platform);
// The entry that runs best on `want`: its own variant first, then the older ones (arm/v7 -> v6 ->
// v5; arm64 -> arm/v8
// ...; amd64/v3 -> v2 -> v1), then an entry without a platform. Attestations and artifacts are
// never chosen. The result may be an index again. NotFound, listing what there is, when nothing
// fits. Points into `index`.
Result<const Descriptor*> ChoosePlatform(const Index& index, const Platform& want);

}  // namespace berth::oci
