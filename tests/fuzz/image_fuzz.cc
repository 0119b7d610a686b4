// SPDX-License-Identifier: Apache-2.0
// Manifests, indexes and image configs. The first byte chooses the content type that comes with the
// document.
#include "oci/image.h"

#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;
namespace oci = berth::oci;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr std::string_view kTypes[] = {"", oci::kOciManifestType, oci::kOciIndexType,
                                         oci::kDockerManifestType, oci::kDockerIndexType};
  if (size == 0) return 0;
  std::string_view type = kTypes[data[0] % 5];
  std::string_view text = berth::fuzz::Text(data + 1, size - 1);
  if (auto config = oci::ParseImageConfig(text)) {
    auto encoded = oci::EncodeImageConfig(*config);
    Require(encoded.has_value());
    auto again = oci::ParseImageConfig(*encoded);
    Require(again && *again == *config);
  }
  auto document = oci::ParseManifestOrIndex(text, type);
  if (!document) return 0;
  if (const auto* index = std::get_if<oci::Index>(&*document)) {
    Require(!oci::IsManifestType(type) && oci::IsIndexType(index->media_type));
    (void)oci::ChoosePlatform(*index, {"linux", "arm64", "v8"}).has_value();
  } else {
    const auto& manifest = std::get<oci::Manifest>(*document);
    Require(!oci::IsIndexType(type) && oci::IsManifestType(manifest.media_type));
    for (const oci::Layer& layer : manifest.layers) Require(layer.descriptor.size >= 0);
  }
  return 0;
}
