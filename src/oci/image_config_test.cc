// SPDX-License-Identifier: Apache-2.0
#include "oci/image.h"
#include "oci/json_internal.h"
#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

Json ConfigJson() {
  return Json::parse(
      R"({"created":"2024-05-01T10:00:00Z","architecture":"arm","variant":"v7","os":"linux",
    "config":{"User":"1000:1000","Env":["PATH=/bin"],"Entrypoint":["/entry"],"Cmd":["a","b"],
      "WorkingDir":"/srv","Labels":{"k":"v"},"StopSignal":"SIGQUIT","Volumes":{"/data":{}},
      "ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["NONE"]}},
    "rootfs":{"type":"layers","diff_ids":[")" +
      kDigest + R"("]},"history":[{"created_by":"x"}]})");
}

TEST(ImageConfigTest, ReadsWhatContainersNeed) {
  auto config = ParseImageConfig(ConfigJson().dump());
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(PlatformText(config->platform), "linux/arm/v7");
  EXPECT_EQ(config->created, "2024-05-01T10:00:00Z");
  const ImageProcess& process = config->process;
  EXPECT_EQ(process.user, "1000:1000");
  EXPECT_EQ(process.env, std::vector<std::string>{"PATH=/bin"});
  EXPECT_EQ(process.entrypoint, std::vector<std::string>{"/entry"});
  EXPECT_EQ(process.cmd, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(process.working_dir, "/srv");
  EXPECT_EQ(process.labels.at("k"), "v");
  EXPECT_EQ(process.stop_signal, "SIGQUIT");
  EXPECT_EQ(process.volumes, std::vector<std::string>{"/data"});
  EXPECT_EQ(process.exposed_ports, std::vector<std::string>{"80/tcp"});
  EXPECT_EQ(config->diff_ids.at(0).str(), kDigest);
}

TEST(ImageConfigTest, EncodedFormReadsBackEqual) {
  ImageConfig config = *ParseImageConfig(ConfigJson().dump());
  EXPECT_EQ(*ParseImageConfig(*EncodeImageConfig(config)), config);
  ImageConfig small = *ParseImageConfig(
      R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers"},"config":null})");
  EXPECT_EQ(*ParseImageConfig(*EncodeImageConfig(small)), small);
  small.process.user = "\xff";
  EXPECT_FAILS(EncodeImageConfig(small), Code::kInvalidArgument, "not valid UTF-8");
}

TEST(ImageConfigTest, GoNullsMeanAbsent) {
  Json json = ConfigJson();
  for (const char* key :
       {"User", "Env", "Entrypoint", "Cmd", "Labels", "Volumes", "ExposedPorts"}) {
    json["config"][key] = nullptr;
  }
  json["config"]["Volumes"] = {{"/v", nullptr}};
  auto config = ParseImageConfig(json.dump());
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_TRUE(config->process.cmd.empty());
  EXPECT_EQ(config->process.volumes, std::vector<std::string>{"/v"});
}

TEST(ImageConfigTest, ErrorsNameTheField) {
  struct Patch {
    const char* pointer;
    Json value;
    const char* fragment;
  };
  const Patch table[] = {
      {"/os", nullptr, "image config: os: is null"},
      {"/os", "", "os: empty"},
      {"/architecture", 1, "architecture: not a string"},
      {"/created", 1, "created: not a string"},
      {"/config", "x", "config: not an object"},
      {"/config/User", 0, "config.User: not a string"},
      {"/config/User", std::string("a\0b", 3), "U+0000"},
      {"/config/Env", "x", "config.Env: not an array"},
      {"/config/Env/0", nullptr, "config.Env[0]: not a string"},
      {"/config/Cmd", std::vector<int>(8193, 1), "config.Cmd: more than 8192 elements"},
      {"/config/Labels", {1}, "config.Labels: not an object"},
      {"/config/Volumes", {{"/x", 1}}, "config.Volumes./x: not an object"},
      {"/rootfs", nullptr, "rootfs: is null"},
      {"/rootfs/type", "zip", "rootfs.type: not \"layers\""},
      {"/rootfs/diff_ids", nullptr, "rootfs.diff_ids: is null"},
      {"/rootfs/diff_ids/0", "sha256:../../x", "rootfs.diff_ids[0]: digest"},
      {"/rootfs/diff_ids/0", "", "rootfs.diff_ids[0]: digest \"\": no algorithm"},
      {"/rootfs/diff_ids/0", "sha512:" + std::string(128, 'a'),
       "rootfs.diff_ids[0]: not a sha256 digest"},
      {"/rootfs/diff_ids", std::vector<std::string>(129, kDigest), "diff_ids: more than 128"},
  };
  for (const Patch& patch : table) {
    SCOPED_TRACE(patch.pointer);
    Json json = ConfigJson();
    json[Json::json_pointer(patch.pointer)] = patch.value;
    EXPECT_FAILS(ParseImageConfig(json.dump()), Code::kInvalidArgument, patch.fragment);
  }
}

TEST(ImageConfigTest, NeedsOneDiffIdForEachLayer) {
  ImageConfig config = *ParseImageConfig(ConfigJson().dump());
  Descriptor blob{"", *Digest::Parse(kDigest), 0, {}, {}, {}, ""};
  Manifest manifest{std::string(kOciManifestType), blob, {}, {}};
  EXPECT_FAILS(CheckConsistency(manifest, config), Code::kInvalidArgument,
               "rootfs.diff_ids: 1 entries for the manifest's 0 layers");
  manifest.layers.push_back({blob, LayerCompression::kNone, false});
  EXPECT_TRUE(CheckConsistency(manifest, config));
}

Index MakeIndex(const std::vector<std::optional<Platform>>& platforms) {
  Index index{std::string(kOciIndexType), {}, {}};
  for (const auto& platform : platforms) {
    index.manifests.push_back(
        {std::string(kOciManifestType), *Digest::Parse(kDigest), 1, {}, platform, {}, ""});
  }
  return index;
}

Platform Linux(std::string architecture, std::string variant = "") {
  return {"linux", std::move(architecture), std::move(variant), ""};
}

TEST(ChoosePlatformTest, TakesTheBestThatRuns) {
  struct Case {
    std::vector<std::optional<Platform>> have;
    Platform want;
    size_t chosen;
  };
  const Case table[] = {
      {{Linux("arm64"), Linux("amd64")}, Linux("amd64"), 1},
      {{Linux("amd64", "v3"), Linux("amd64")}, Linux("x86_64"), 1},
      {{Linux("amd64"), Linux("amd64", "v2"), Linux("amd64", "v4")}, Linux("amd64", "v3"), 1},
      {{Linux("arm", "v5"), Linux("arm", "v6"), Linux("arm64")}, Linux("arm", "v7"), 1},
      {{Linux("arm", "v6"), Linux("arm")}, Linux("arm"), 1},
      {{Linux("arm", "v7"), Linux("arm64", "v8")}, Linux("aarch64"), 1},
      {{Linux("arm", "v6"), Linux("arm", "v7")}, Linux("arm64"), 1},
      {{Linux("arm64", "8")}, Linux("arm64", "v9"), 0},
      {{Linux("386"), std::nullopt}, Linux("amd64"), 1},
      {{std::nullopt, Linux("amd64")}, Linux("amd64"), 1},
  };
  for (const Case& c : table) {
    SCOPED_TRACE(PlatformText(c.want));
    Index index = MakeIndex(c.have);
    auto chosen = ChoosePlatform(index, c.want);
    ASSERT_TRUE(chosen) << chosen.error().message();
    EXPECT_EQ(*chosen - index.manifests.data(), static_cast<ptrdiff_t>(c.chosen));
  }
}

TEST(ChoosePlatformTest, SaysWhatThereIsWhenNothingFits) {
  EXPECT_FAILS(ChoosePlatform(MakeIndex({Linux("arm", "v7"), Platform{"windows", "amd64", "", ""}}),
                              Linux("amd64")),
               Code::kNotFound,
               "no image for platform linux/amd64 in the index (it has \"linux/arm/v7\", "
               "\"windows/amd64\")");
  EXPECT_FAILS(ChoosePlatform(MakeIndex({}), Linux("arm", "v6")), Code::kNotFound, "it has none");
  EXPECT_FAILS(ChoosePlatform(MakeIndex({Linux("arm", "v7")}), Linux("arm", "v6")), Code::kNotFound,
               "linux/arm/v6");
}

TEST(ChoosePlatformTest, NeverTakesAttestationsOrArtifacts) {
  Index index = MakeIndex({std::nullopt, Linux("amd64"), Linux("amd64")});
  index.manifests[0].annotations["vnd.docker.reference.type"] = "attestation-manifest";
  index.manifests[1].artifact_type = "application/x";
  index.manifests[2].media_type = "application/x";
  EXPECT_FAILS(ChoosePlatform(index, Linux("amd64")), Code::kNotFound, "it has none");
}

}  // namespace
}  // namespace berth::oci
