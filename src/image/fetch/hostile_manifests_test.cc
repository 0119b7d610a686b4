// SPDX-License-Identifier: Apache-2.0
// Crafted manifests, indexes and configs as a registry may send them, through the whole resolution:
// each gives one error that names its cause, no layer is asked for, and the next good image works.
#include <cstdio>

#include "image/fetch/registry_fixture.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace berth::image::fetch {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";
constexpr const char* kDockerType = "application/vnd.docker.distribution.manifest.v2+json";
const std::string kHex(64, 'a');

std::string Changed(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  if (at == std::string::npos) {
    ADD_FAILURE() << Quote(from) << " is not in " << text;
    return text;
  }
  return text.replace(at, from.size(), to);
}

std::string Repeated(const std::string& piece, size_t times) {
  std::string out = piece;
  for (size_t i = 1; i < times; ++i) out += "," + piece;
  return out;
}

std::string Nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

class HostileManifestTest : public RegistryTest {
 protected:
  struct Case {
    std::string name;
    std::string manifest;
    Code code;
    std::string message;
    std::string type = "application/vnd.oci.image.manifest.v1+json";
  };

  // The good manifest with one place changed.
  std::string With(const std::string& from, const std::string& to) const {
    return Changed(image_.manifest, from, to);
  }
  std::string WithKey(const std::string& member) const { return With("{", "{" + member + ","); }
  std::string WithLayerDigest(const std::string& digest) const {
    return With(image_.blob_digests[0], digest);
  }
  std::string WithLayerSize(const std::string& size) const { return With("\"size\":9", size); }
  std::string WithLayers(const std::string& layers) const {
    return image_.manifest.substr(0, image_.manifest.find("\"layers\"")) + "\"layers\":[" + layers +
           "]}";
  }
  std::string LayerText() const {
    const size_t from = image_.manifest.find('{', image_.manifest.find("\"layers\""));
    return image_.manifest.substr(from, image_.manifest.find('}', from) - from + 1);
  }
  // A manifest whose config is this one, with the right digest and size: only its content is bad.
  std::string WithConfig(const std::string& config) {
    const std::string digest = Sha256::Of(config).ToString();
    registry_.Set("/v2/app/blobs/" + digest, {200, {}, config});
    return Changed(With(image_.config_digest, digest), StrCat("\"size\":", image_.config.size()),
                   StrCat("\"size\":", config.size()));
  }
  std::string Index(const std::string& entries) const {
    return StrCat(R"({"schemaVersion":2,"mediaType":")", kIndexType, R"(","manifests":[)", entries,
                  "]}");
  }

  void Refuses(const std::vector<Case>& cases) {
    // tests/fuzz/run.py adds these up.
    std::printf("%zu crafted documents\n", cases.size());
    registry_.Push("app", "good", image_);
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      registry_.Set("/v2/app/manifests/bad", {200, {{"Content-Type", c.type}}, c.manifest});
      auto image = Resolve("app:bad");
      if (image) {
        ADD_FAILURE() << "was taken for an image";
        continue;
      }
      ExpectError(image.error(), c.code, c.message);
      EXPECT_LT(image.error().message().size(), 1000U);
    }
    for (const FakeRequest& request : registry_.requests()) {
      EXPECT_THAT(request.target, Not(HasSubstr("..")));
      for (const std::string& layer : image_.blob_digests)
        EXPECT_THAT(request.target, Not(HasSubstr(layer)));
    }
    auto good = Resolve("app:good");
    ASSERT_TRUE(good) << good.error().message();
    EXPECT_EQ(*Blob(*good, 0), "layer one");
  }
};

// CVE-2014-9358, CVE-2024-3727: a digest becomes a path and a URL.
TEST_F(HostileManifestTest, Digests) {
  const std::string entry =
      StrCat(R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":)",
             R"("sha256:../../x","size":7,"platform":{"os":"linux","architecture":"amd64"}})");
  const auto layer = [&](const char* name, const std::string& digest, const std::string& message,
                         Code code = Code::kInvalidArgument) {
    return Case{name, WithLayerDigest(digest), code, "layers[0].digest: " + message};
  };
  Refuses({
      layer("traversal", "sha256:../../x", "digest \"sha256:../../x\": bad syntax"),
      layer("63 digits", "sha256:" + kHex.substr(1), StrCat("digest \"sha256:", kHex.substr(1))),
      layer("65 digits", "sha256:" + kHex + "a",
            "digest \"sha256:" + kHex + "a\": not 64 lower-case hexadecimal digits"),
      layer("upper case", "sha256:" + std::string(64, 'A'), "digest \"sha256:AAAA"),
      layer("algorithm in upper case", "SHA256:" + kHex, "digest \"SHA256:aaaa"),
      layer("not hexadecimal", "sha256:" + kHex.substr(1) + "g", "digest \"sha256:aaaa"),
      layer("short sha512", "sha512:" + kHex,
            StrCat("digest \"sha512:", kHex, "\": not 128 lower-case hexadecimal digits")),
      layer("another algorithm", "sha384:" + kHex + kHex.substr(32), "digest \"sha384:aaaa"),
      layer("empty", "", "digest \"\": no algorithm"),
      layer("path", "a/b", "digest \"a/b\": no algorithm"),
      layer("only the algorithm", "sha256:", "digest \"sha256:\": bad syntax"),
      layer("query", "sha256:" + kHex + "?x=y",
            StrCat("digest \"sha256:", kHex, "?x=y\": bad syntax")),
      layer("line break", "sha256:" + kHex + "\\n",
            StrCat("digest \"sha256:", kHex, "\\n\": bad syntax")),
      {"NUL", WithLayerDigest("sha256:" + kHex + "\\u0000"), Code::kInvalidArgument,
       "a string contains U+0000"},
      {"config", With(image_.config_digest, "sha256:../../../etc/passwd"), Code::kInvalidArgument,
       "config.digest: digest \"sha256:../../../etc/passwd\": bad syntax"},
      {"index entry", Index(entry), Code::kInvalidArgument,
       "manifests[0].digest: digest \"sha256:../../x\": bad syntax", kIndexType},
      {"diff_id", WithConfig(Changed(image_.config, "sha256:", "sha256:../")),
       Code::kInvalidArgument, "rootfs.diff_ids[0]: digest \"sha256:../"},
  });
}

// CVE-2021-41190: one document, two readings.
TEST_F(HostileManifestTest, AmbiguousDocuments) {
  const std::string layers = StrCat("\"layers\":[", LayerText(), "]");
  Refuses({
      {"manifest and index", WithKey("\"manifests\":[]"), Code::kInvalidArgument,
       "has the keys of a manifest and of an index"},
      {"another mediaType", With(image_.manifest_type, kDockerType), Code::kInvalidArgument,
       "is not the content type"},
      {"another Content-Type", image_.manifest, Code::kInvalidArgument, "is not the content type",
       kIndexType},
      {"index by type", With(image_.manifest_type, kIndexType), Code::kInvalidArgument,
       "but the keys of a manifest", kIndexType},
      {"layers twice", WithKey(layers), Code::kInvalidArgument,
       "key \"layers\" appears twice in one object"},
      {"mediaType twice", WithKey(StrCat("\"mediaType\":\"", kDockerType, "\"")),
       Code::kInvalidArgument, "key \"mediaType\" appears twice in one object"},
      {"a layer's digest twice", With("\"size\":9", StrCat("\"size\":9,\"digest\":\"", kHex, "\"")),
       Code::kInvalidArgument, "key \"digest\" appears twice in one object"},
      {"written with an escape", WithKey("\"l\\u0061yers\":[]"), Code::kInvalidArgument,
       "key \"layers\" appears twice in one object"},
      {"config's rootfs twice", WithConfig(Changed(image_.config, "{", "{\"rootfs\":{},")),
       Code::kInvalidArgument, "image config: document: key \"rootfs\" appears twice"},
      {"key in another case", WithKey("\"Layers\":[]"), Code::kInvalidArgument,
       "key \"Layers\" must be written layers"},
      {"schema 1", WithKey("\"history\":[]"), Code::kFailedPrecondition, "schema 1"},
      {"schema 1 by version", With("\"schemaVersion\":2", "\"schemaVersion\":1"),
       Code::kFailedPrecondition, "schema 1"},
      {"schema 3", With("\"schemaVersion\":2", "\"schemaVersion\":3"), Code::kInvalidArgument,
       "schemaVersion: 3 is not 2"},
  });
}

TEST_F(HostileManifestTest, SizesThatLie) {
  const std::string size = StrCat("\"size\":", image_.config.size());
  const auto config = [&](size_t bytes) { return With(size, StrCat("\"size\":", bytes)); };
  std::string other = image_.config;
  other[other.find("amd64")] = 'b';
  registry_.Set("/v2/app/blobs/sha256:" + kHex, {200, {}, other});
  const std::string range = "layers[0].size: number out of range";
  Refuses({
      {"negative", WithLayerSize("\"size\":-1"), Code::kInvalidArgument, range},
      {"beyond a blob's limit", WithLayerSize("\"size\":1099511627777"), Code::kInvalidArgument,
       range},
      {"2^64 - 1", WithLayerSize("\"size\":18446744073709551615"), Code::kInvalidArgument, range},
      {"2^64", WithLayerSize("\"size\":18446744073709551616"), Code::kInvalidArgument,
       "layers[0].size: not a whole number"},
      {"huge float", WithLayerSize("\"size\":1e300"), Code::kInvalidArgument,
       "layers[0].size: not a whole number"},
      {"overflowing float", WithLayerSize("\"size\":1e999"), Code::kInvalidArgument,
       "not valid JSON near byte"},
      {"text", WithLayerSize("\"size\":\"9\""), Code::kInvalidArgument,
       "layers[0].size: not a whole number"},
      {"null", WithLayerSize("\"size\":null"), Code::kInvalidArgument, "layers[0].size: is null"},
      {"missing", WithLayerSize("\"x\":9"), Code::kInvalidArgument, "layers[0].size"},
      {"config too large to read", config(4194305), Code::kInvalidArgument,
       "config.size: larger than 4194304 bytes"},
      {"config longer", config(image_.config.size() - 1), Code::kDataLoss, "longer than the "},
      {"config shorter", config(image_.config.size() + 1), Code::kDataLoss, " bytes instead of "},
      {"config of no bytes", config(0), Code::kDataLoss, "longer than the 0 bytes"},
      {"config of another content", With(image_.config_digest, "sha256:" + kHex), Code::kDataLoss,
       "wrong content, its digest is sha256:"},
  });
}

TEST_F(HostileManifestTest, TypesThatAreNoImage) {
  const std::string layer = "application/vnd.oci.image.layer.v1.tar+gzip";
  const std::string config = "application/vnd.oci.image.config.v1+json";
  const auto layer_type = [&](const std::string& type, const std::string& message) {
    return Case{type, With(layer, type), Code::kFailedPrecondition,
                "layers[0].mediaType: " + message};
  };
  Refuses({
      layer_type("application/vnd.oci.image.layer.v1.tar+xz",
                 "\"application/vnd.oci.image.layer.v1.tar+xz\" is not a layer type"),
      layer_type(layer + "+encrypted", "encrypted layers are not supported"),
      layer_type("application/vnd.in-toto+json", "\"application/vnd.in-toto+json\" is not a layer"),
      layer_type("text/html", "\"text/html\" is not a layer type"),
      {"Helm chart", With(config, "application/vnd.cncf.helm.config.v1+json"),
       Code::kFailedPrecondition, "is an artifact, not a container image"},
      {"empty config", With(config, "application/vnd.oci.empty.v1+json"), Code::kFailedPrecondition,
       "is an artifact, not a container image"},
      {"no layer type", With(layer, ""), Code::kInvalidArgument, "layers[0].mediaType: empty"},
      {"a web page", "<html>", Code::kInvalidArgument, "not valid JSON near byte", "text/html"},
      {"fewer layers than diff_ids", WithLayers(LayerText()), Code::kInvalidArgument,
       "rootfs.diff_ids: 2 entries for the manifest's 1 layers"},
      {"config is a list", WithConfig("[]"), Code::kInvalidArgument, "image config: "},
      {"config without rootfs", WithConfig(R"({"architecture":"amd64","os":"linux"})"),
       Code::kInvalidArgument, "rootfs"},
  });
}

// CVE-2021-21285 and its like: what crashes or fills a parser.
TEST_F(HostileManifestTest, MoreThanADocumentMayHave) {
  const std::string url = "\"https://example.com/layer\"";
  std::string annotations;
  for (int i = 0; i < 8193; ++i) annotations += StrCat(i == 0 ? "" : ",", "\"", i, "\":\"\"");
  const std::string entry = StrCat(R"({"mediaType":"application/vnd.oci.image.manifest.v1+json",)",
                                   R"("digest":"sha256:)", kHex, R"(","size":7})");
  Refuses({
      {"129 layers", WithLayers(Repeated(LayerText(), 129)), Code::kInvalidArgument,
       "layers: more than 128 elements"},
      {"1025 entries", Index(Repeated(entry, 1025)), Code::kInvalidArgument,
       "manifests: more than 1024 elements", kIndexType},
      {"65 URLs", With("\"size\":9", StrCat("\"size\":9,\"urls\":[", Repeated(url, 65), "]")),
       Code::kInvalidArgument, "layers[0].urls: more than 64 elements"},
      {"8193 annotations", WithKey(StrCat("\"annotations\":{", annotations, "}")),
       Code::kInvalidArgument, "annotations: more than 8192"},
      {"300000 numbers", WithKey(StrCat("\"x\":[", Repeated("0", 300'000), "]")),
       Code::kInvalidArgument, "more than 262144 values"},
      {"65 deep", WithKey("\"x\":" + Nested(65)), Code::kInvalidArgument, "nested deeper than 64"},
      {"10000 deep", WithKey("\"x\":" + Nested(10'000)), Code::kInvalidArgument,
       "nested deeper than 64"},
      {"a million open lists", std::string(1'000'000, '['), Code::kInvalidArgument,
       "nested deeper than 64"},
      {"larger than 4 MiB", WithKey("\"x\":\"" + std::string(4u << 20, 'x') + "\""),
       Code::kResourceExhausted, "larger than 4194304"},
      {"not UTF-8", WithKey("\"x\":\"\xff\""), Code::kInvalidArgument, "not valid JSON near byte"},
      {"NUL", WithKey(std::string("\"x\":\"\0\"", 7)), Code::kInvalidArgument, "contains a NUL"},
      {"byte order mark", "\xef\xbb\xbf" + image_.manifest, Code::kInvalidArgument,
       "starts with a byte order mark"},
      {"cut short", image_.manifest.substr(0, image_.manifest.size() - 1), Code::kInvalidArgument,
       "not valid JSON near byte"},
      {"more behind it", image_.manifest + "{}", Code::kInvalidArgument,
       "not valid JSON near byte"},
      {"nothing", "", Code::kInvalidArgument, "empty"},
      {"config 10000 deep",
       WithConfig(Changed(image_.config, "{", "{\"x\":" + Nested(10'000) + ",")),
       Code::kInvalidArgument, "image config: document: nested deeper than 64"},
  });
}

TEST_F(HostileManifestTest, IndexesOfIndexesEnd) {
  std::string document = image_.manifest, type = image_.manifest_type;
  registry_.Push("app", "good", image_);
  for (int i = 0; i < 8; ++i) {
    const std::string digest = Sha256::Of(document).ToString();
    registry_.Set("/v2/app/manifests/" + digest, {200, {{"Content-Type", type}}, document});
    document = Index(StrCat(R"({"mediaType":")", type, R"(","digest":")", digest, R"(","size":)",
                            document.size(), "}"));
    type = kIndexType;
  }
  Refuses({{"8 deep", document, Code::kInvalidArgument,
            StrCat("index nested more than ", kMaxIndexDepth, " deep"), kIndexType}});
}

// What a manifest says about where else its layers are is never followed.
TEST_F(HostileManifestTest, ForeignLayersComeFromTheRegistryOrNotAtAll) {
  other_.Set("/layer", {200, {}, "layer one"});
  const std::string urls =
      StrCat("\"size\":9,\"urls\":[\"http://", other_.host(), "/layer\",\"file:///etc/passwd\"]");
  const std::string foreign = Changed(With("\"size\":9", urls), "image.layer.v1.tar+gzip",
                                      "image.layer.nondistributable.v1.tar+gzip");
  registry_.Set("/v2/app/manifests/1", {200, {{"Content-Type", image_.manifest_type}}, foreign});
  registry_.Set("/v2/app/blobs/" + image_.config_digest, {200, {}, image_.config});
  auto image = Resolve("app:1");
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_TRUE(image->manifest.layers[0].foreign);
  ExpectError(Blob(*image, 0).error(), Code::kNotFound, image_.blob_digests[0]);
  registry_.Set("/v2/app/blobs/" + image_.blob_digests[0], {200, {}, "layer one"});
  EXPECT_EQ(*Blob(*image, 0), "layer one");
  EXPECT_TRUE(other_.requests().empty());
}

}  // namespace
}  // namespace berth::image::fetch
