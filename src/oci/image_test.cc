// SPDX-License-Identifier: Apache-2.0
#include "oci/image.h"

#include "base/strings.h"
#include "oci/json_internal.h"
#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');
constexpr std::string_view kGzip = "application/vnd.oci.image.layer.v1.tar+gzip";

Json DescriptorJson(std::string_view type) {
  return {{"mediaType", type}, {"digest", kDigest}, {"size", 7}};
}

Json ManifestJson() {
  return {{"schemaVersion", 2},
          {"mediaType", kOciManifestType},
          {"config", DescriptorJson(kOciConfigType)},
          {"layers", {DescriptorJson(kGzip)}}};
}

Json IndexJson() {
  Json amd64 = DescriptorJson(kOciManifestType);
  amd64["platform"] = {{"os", "linux"}, {"architecture", "amd64"}};
  return {{"schemaVersion", 2}, {"mediaType", kOciIndexType}, {"manifests", Json::array({amd64})}};
}

Result<std::variant<Manifest, Index>> ParseDocument(const Json& json, std::string_view type = "") {
  return ParseManifestOrIndex(json.dump(), type);
}

TEST(ManifestTest, ReadsOciAndDocker) {
  auto oci =
      ParseDocument(ManifestJson(), "Application/vnd.oci.image.manifest.v1+json; charset=utf-8");
  ASSERT_TRUE(oci) << oci.error().message();
  const Manifest& manifest = std::get<Manifest>(*oci);
  EXPECT_EQ(manifest.config.digest.str(), kDigest);
  ASSERT_EQ(manifest.layers.size(), 1u);
  EXPECT_EQ(manifest.layers[0].compression, LayerCompression::kGzip);
  EXPECT_EQ(manifest.layers[0].descriptor.size, 7);

  Json docker = ManifestJson();
  docker["mediaType"] = kDockerManifestType;
  docker["config"]["mediaType"] = "application/octet-stream";
  docker["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
  docker["layers"][0]["urls"] = {"https://example.com/layer"};
  auto parsed = ParseDocument(docker, kDockerManifestType);
  ASSERT_TRUE(parsed) << parsed.error().message();
  const Layer& layer = std::get<Manifest>(*parsed).layers[0];
  EXPECT_TRUE(layer.foreign);
  EXPECT_EQ(layer.descriptor.urls, std::vector<std::string>{"https://example.com/layer"});
}

TEST(ManifestTest, TypeMayBeMissingOnOneSideOrBoth) {
  Json json = ManifestJson();
  json.erase("mediaType");
  EXPECT_EQ(std::get<Manifest>(*ParseDocument(json)).media_type, kOciManifestType);
  EXPECT_EQ(std::get<Manifest>(*ParseDocument(json, kDockerManifestType)).media_type,
            kDockerManifestType);
  EXPECT_EQ(std::get<Manifest>(*ParseDocument(ManifestJson(), "application/json")).media_type,
            kOciManifestType);
  EXPECT_EQ(std::get<Index>(*ParseDocument(IndexJson(), kOciIndexType)).manifests.size(), 1u);
}

// CVE-2021-41190: the same bytes must not be one thing to us and another to somebody else.
TEST(ManifestTest, RefusesAmbiguousDocuments) {
  auto fails = [](const Json& json, std::string_view type, const char* fragment) {
    EXPECT_FAILS(ParseDocument(json, type), Code::kInvalidArgument, fragment);
  };
  Json both = ManifestJson();
  both["manifests"] = Json::array();
  fails(both, "", "has the keys of a manifest and of an index");
  Json config_only = IndexJson();
  config_only["config"] = nullptr;
  fails(config_only, "", "has the keys of a manifest and of an index");
  fails(ManifestJson(), kDockerManifestType, "is not the content type");
  fails(ManifestJson(), kOciIndexType, "is not the content type");
  fails(ManifestJson(), "text/html", "is not the content type");
  Json wrong = ManifestJson();
  wrong["mediaType"] = kOciIndexType;
  fails(wrong, kOciIndexType, "but the keys of a manifest");
  Json untyped = IndexJson();
  untyped.erase("mediaType");
  fails(untyped, kOciManifestType, "but the keys of an index");
  fails(untyped, "text/html", "is neither a manifest nor an index");
  fails({{"schemaVersion", 2}}, "", "neither of a manifest nor of an index");
  Json empty_type = ManifestJson();
  empty_type["mediaType"] = "";
  fails(empty_type, "", "mediaType: empty");
  Json other_case = IndexJson();
  other_case["Layers"] = Json::array();
  fails(other_case, "", "key \"Layers\" must be written layers");
  Json other_digest = ManifestJson();
  other_digest["config"]["Digest"] = kDigest;
  fails(other_digest, "", "config: key \"Digest\" must be written digest");
  EXPECT_FAILS(ParseManifestOrIndex(R"({"schemaVersion":2,"layers":[],"layers":[]})", ""),
               Code::kInvalidArgument, "manifest: document: key \"layers\" appears twice");
}

TEST(ManifestTest, RefusesWhatIsNoImage) {
  auto refused = [](const Json& json, std::string_view type, const char* fragment) {
    EXPECT_FAILS(ParseDocument(json, type), Code::kFailedPrecondition, fragment);
  };
  refused({{"schemaVersion", 1}}, "", "schema 1");
  refused({{"schemaVersion", 2}, {"history", Json::array()}}, "", "schema 1");
  refused({{"schemaVersion", 1}, {"fsLayers", Json::array()}}, "", "schema 1");
  refused(ManifestJson(), "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1");
  Json chart = ManifestJson();
  chart["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json";
  refused(chart, "", "is an artifact, not a container image");
  Json octets = ManifestJson();
  octets["config"]["mediaType"] = "application/octet-stream";
  refused(octets, "", "is an artifact, not a container image");
  Json encrypted = ManifestJson();
  encrypted["layers"][0]["mediaType"] = StrCat(kGzip, "+encrypted");
  refused(encrypted, "", "layers[0].mediaType: encrypted layers are not supported");
  Json attestation = ManifestJson();
  attestation["layers"][0]["mediaType"] = "application/vnd.in-toto+json";
  refused(attestation, "",
          "layers[0].mediaType: \"application/vnd.in-toto+json\" is not a layer type");
}

struct Patch {
  const char* pointer;
  Json value;
  const char* fragment;
};

TEST(ManifestTest, ErrorsNameTheField) {
  const Patch table[] = {
      {"/schemaVersion", 3, "manifest: schemaVersion: 3 is not 2"},
      {"/schemaVersion", "2", "schemaVersion: not a whole number"},
      {"/mediaType", 7, "mediaType: not a string"},
      {"/config", 7, "config: not an object"},
      {"/config", nullptr, "config: is null"},
      {"/config/size", -1, "config.size: number out of range"},
      {"/config/size", 5000000, "config.size: larger than 4194304"},
      {"/layers", nullptr, "layers: is null"},
      {"/layers", Json::object(), "layers: not an array"},
      {"/layers/0", nullptr, "layers[0]: not an object"},
      {"/layers/0/digest", nullptr, "layers[0].digest: is null"},
      {"/layers/0/digest", 7, "layers[0].digest: not a string"},
      {"/layers/0/digest", "sha256:../../x",
       "layers[0].digest: digest \"sha256:../../x\": bad syntax"},
      {"/layers/0/digest", "a/b", "no algorithm"},
      {"/layers/0/size", nullptr, "layers[0].size: is null"},
      {"/layers/0/size", -1, "layers[0].size: number out of range"},
      {"/layers/0/size", 1.5, "layers[0].size: not a whole number"},
      {"/layers/0/size", 18446744073709551615u, "layers[0].size: number out of range"},
      {"/layers/0/size", (int64_t{1} << 40) + 1, "layers[0].size: number out of range"},
      {"/layers/0/mediaType", nullptr, "layers[0].mediaType: is null"},
      {"/layers/0/mediaType", "", "layers[0].mediaType: empty"},
      {"/layers/0/urls", "x", "layers[0].urls: not an array"},
      {"/layers/0/urls", {1}, "layers[0].urls[0]: not a string"},
      {"/layers/0/annotations", {{"k", 1}}, "layers[0].annotations.k: not a string"},
      {"/annotations", {1}, "annotations: not an object"},
  };
  for (const Patch& patch : table) {
    SCOPED_TRACE(patch.pointer);
    Json json = ManifestJson();
    json[Json::json_pointer(patch.pointer)] = patch.value;
    EXPECT_FAILS(ParseDocument(json), Code::kInvalidArgument, patch.fragment);
  }
  Json many = ManifestJson();
  for (size_t i = 0; i < kMaxLayers; ++i) many["layers"].push_back(DescriptorJson(kGzip));
  EXPECT_FAILS(ParseDocument(many), Code::kInvalidArgument, "layers: more than 128 elements");
  EXPECT_FAILS(ParseManifestOrIndex(std::string(kMaxManifestBytes + 1, ' '), ""),
               Code::kInvalidArgument, "manifest: document: larger than 4194304 bytes");
  EXPECT_FAILS(ParseManifestOrIndex("[]", ""), Code::kInvalidArgument, "not an object");
}

// Null, wrong types and removal at every place give an error or a document, never a
// crash.
TEST(ManifestTest, SurvivesEveryReplacementOfEveryField) {
  Json full = IndexJson();
  full["annotations"] = {{"a", "b"}};
  const Json documents[] = {ManifestJson(), full};
  const Json values[] = {nullptr,
                         true,
                         -1,
                         1e300,
                         "",
                         "\x7f",
                         Json::array(),
                         Json::object(),
                         Json::array({nullptr}),
                         Json{{"", nullptr}}};
  for (const Json& document : documents) {
    Json places = document.flatten();
    for (const auto& place : places.items()) {
      for (Json::json_pointer at(place.key()); !at.empty(); at = at.parent_pointer()) {
        for (const Json& value : values) {
          Json changed = document;
          changed[at] = value;
          auto parsed = ParseDocument(changed);
          EXPECT_TRUE(parsed || parsed.error().message().starts_with("manifest: "));
        }
      }
    }
  }
}

TEST(LayerTypeTest, KnowsEveryType) {
  EXPECT_EQ(ParseLayerType("application/vnd.oci.image.layer.v1.tar")->compression,
            LayerCompression::kNone);
  EXPECT_EQ(ParseLayerType("application/vnd.oci.image.layer.v1.tar+zstd")->compression,
            LayerCompression::kZstd);
  EXPECT_EQ(ParseLayerType("application/vnd.docker.image.rootfs.diff.tar.gzip")->compression,
            LayerCompression::kGzip);
  EXPECT_TRUE(
      ParseLayerType("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")->foreign);
  EXPECT_FAILS(ParseLayerType("application/vnd.oci.image.layer.v1.tar+xz"),
               Code::kFailedPrecondition, "is not a layer type");
}

}  // namespace
}  // namespace berth::oci
