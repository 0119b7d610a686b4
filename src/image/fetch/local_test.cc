// SPDX-License-Identifier: Apache-2.0
// Layouts and archives, built in memory, some of them wrong.
#include "image/fetch/local.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "base/strings.h"
#include "image/testing/fake_registry.h"

namespace berth::image::fetch {
namespace {

using testing::HasSubstr;

std::string Header(const std::string& name, size_t size, char type, const std::string& link = "") {
  std::string block(512, '\0');
  block.replace(0, name.size(), name);
  char number[16];
  std::snprintf(number, sizeof number, "%011zo", size);
  block.replace(124, 11, number);
  block[156] = type;
  block.replace(157, link.size(), link);
  block.replace(257, 8, std::string("ustar\00000", 8));
  block.replace(148, 8, "        ");
  unsigned sum = 0;
  for (char c : block) sum += static_cast<unsigned char>(c);
  std::snprintf(number, sizeof number, "%06o", sum);
  block.replace(148, 7, std::string(number) + '\0');
  return block;
}

std::string File(const std::string& name, const std::string& bytes, char type = '0') {
  std::string padded = bytes;
  padded.resize((bytes.size() + 511) / 512 * 512);
  return Header(name, bytes.size(), type) + padded;
}

const std::string& End() {
  static const std::string end(1024, '\0');
  return end;
}

Result<std::unique_ptr<TarFiles>> Open(const std::string& tar) {
  return TarFiles::Open(TRY(os::MakeMemFile("tar", tar)));
}

TEST(TarFilesTest, ReadsFilesLinksAndLongNames) {
  const std::string longer = "dir/" + std::string(200, 'n');
  const std::string pax = StrCat(longer.size() + 10, " path=", longer, "\n");
  auto files = Open(File("./a", "one") + Header("d/b", 0, '2', "../a") +
                    Header("c", 0, '1', "d/b") + Header("d", 0, '5') + File("x", pax, 'x') +
                    File("short", "two") + File("@", longer + "2" + '\0', 'L') +
                    File("short", "three") + File("a", "newer") + End());
  ASSERT_TRUE(files) << files.error().message();
  EXPECT_EQ(*(*files)->Read("a", 10), "newer");
  EXPECT_EQ(*(*files)->Read("d/b", 10), "newer");
  EXPECT_EQ(*(*files)->Read("c", 10), "newer");
  EXPECT_EQ(*(*files)->Read(longer, 10), "two");
  EXPECT_EQ(*(*files)->Read(longer + "2", 10), "three");
  EXPECT_EQ((*files)->Read("a", 4).error().code(), Code::kResourceExhausted);
  EXPECT_EQ((*files)->Read("none", 4).error().code(), Code::kNotFound);
  EXPECT_FALSE(*(*files)->Exists("short"));
}

TEST(TarFilesTest, RefusesWhatIsNoSoundTar) {
  std::string bad_sum = File("a", "x") + End();
  bad_sum[0] = 'b';
  const std::pair<std::string, Code> cases[] = {
      {"", Code::kInvalidArgument},
      {"short", Code::kInvalidArgument},
      {std::string(512, 'x'), Code::kInvalidArgument},
      {bad_sum, Code::kInvalidArgument},
      {Header("a", 5000, '0') + std::string(512, 'x'), Code::kInvalidArgument},
      {File("../a", "x") + End(), Code::kInvalidArgument},
      {Header("a", 0, '2', "../../etc/passwd") + End(), Code::kInvalidArgument},
      {File("x", "nonsense", 'x') + End(), Code::kInvalidArgument},
      {File("x", "999 path=a\n", 'x') + End(), Code::kInvalidArgument},
      {File("x", std::string(70'000, 'x'), 'x') + End(), Code::kResourceExhausted},
      {Header("a", 0, 'S') + End(), Code::kFailedPrecondition},
      {"\x1f\x8b" + std::string(600, 'x'), Code::kFailedPrecondition}};
  for (const auto& [tar, code] : cases) {
    auto files = Open(tar);
    ASSERT_FALSE(files) << Quote(tar, 32);
    EXPECT_EQ(CodeName(files.error().code()), CodeName(code)) << files.error().message();
  }
}

TEST(TarFilesTest, DoesNotFollowLinksForEver) {
  auto files = Open(Header("a", 0, '2', "b") + Header("b", 0, '2', "a") + End());
  ASSERT_TRUE(files);
  EXPECT_THAT((*files)->Read("a", 10).error().message(), HasSubstr("too many links"));
}

class LocalTest : public testing::Test {
 protected:
  std::string Layout(const std::string& index) {
    std::string tar =
        File("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}") + File("index.json", index);
    const auto blob = [&](const std::string& digest, const std::string& bytes) {
      tar += File("blobs/sha256/" + digest.substr(7), bytes);
    };
    blob(image_.manifest_digest, image_.manifest);
    blob(image_.config_digest, image_.config);
    for (size_t i = 0; i < image_.blobs.size(); ++i) blob(image_.blob_digests[i], image_.blobs[i]);
    return tar + End();
  }
  Result<LocalImages> OpenTar(const std::string& tar, const std::string& name = "",
                              const std::string& architecture = "amd64") {
    return OpenLocal(TRY(Open(tar)), name, {"linux", architecture, "", ""});
  }
  static Result<std::string> Blob(LocalImages& local, size_t layer) {
    std::string bytes;
    TRY(local.content->StreamBlob(local.images[0].image.manifest.layers[layer].descriptor,
                                  [&](std::string_view part) -> Result<> {
                                    bytes += part;
                                    return Ok();
                                  }));
    return bytes;
  }
  FakeImageDocuments image_ = MakeImageDocuments({"layer one"});
};

TEST_F(LocalTest, ReadsAnOciArchiveWithItsNames) {
  std::string index = MakeIndexDocument({{image_, "amd64"}});
  index.replace(index.find("\"platform\""), 0,
                "\"annotations\":{\"org.opencontainers.image.ref.name\":\"r.example/a:1\"},");
  auto local = OpenTar(Layout(index));
  ASSERT_TRUE(local) << local.error().message();
  ASSERT_EQ(local->images.size(), 1U);
  EXPECT_EQ(local->images[0].tags, std::vector<std::string>{"r.example/a:1"});
  EXPECT_EQ(local->images[0].digests, std::vector{"r.example/a@" + image_.manifest_digest});
  EXPECT_EQ(*Blob(*local, 0), "layer one");
  auto renamed = OpenTar(Layout(index), "other:2");
  ASSERT_TRUE(renamed);
  EXPECT_EQ(renamed->images[0].tags, std::vector<std::string>{"docker.io/library/other:2"});
  EXPECT_EQ(OpenTar(Layout(index), "", "arm64").error().code(), Code::kNotFound);
}

TEST_F(LocalTest, RefusesALayoutWithWrongContent) {
  std::string index = MakeIndexDocument({{image_, "amd64"}});
  image_.manifest[image_.manifest.size() - 2] = ' ';
  EXPECT_EQ(OpenTar(Layout(index)).error().code(), Code::kDataLoss);
  image_ = MakeImageDocuments({"layer one"});
  image_.blobs[0] = "Layer one";
  auto local = OpenTar(Layout(index));
  ASSERT_TRUE(local);
  EXPECT_EQ(Blob(*local, 0).error().code(), Code::kDataLoss);
  EXPECT_EQ(OpenTar(File("a", "b") + End()).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(OpenTar(File("oci-layout", "[]") + End()).error().code(), Code::kInvalidArgument);
}

TEST_F(LocalTest, ReadsADockerArchiveWithPlainLayers) {
  const std::string layer = "tar layer one";  // its digest is the config's diff_id
  const std::string manifest =
      "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\",\"r.example/b:2\"],\"Layers\":[\"l/"
      "layer.tar\"]}]";
  const auto archive = [&](const std::string& bytes) {
    return File("manifest.json", manifest) + File("c.json", image_.config) +
           Header("l/layer.tar", 0, '2', "../real.tar") + File("real.tar", bytes) + End();
  };
  auto local = OpenTar(archive(layer));
  ASSERT_TRUE(local) << local.error().message();
  EXPECT_THAT(local->images[0].tags,
              testing::ElementsAre("docker.io/library/a:1", "r.example/b:2"));
  EXPECT_EQ(ToRemoteImage(local->images[0].image).config_digest.str(), image_.config_digest);
  EXPECT_EQ(*Blob(*local, 0), layer);
  auto wrong = OpenTar(archive("tar layer two"));
  ASSERT_TRUE(wrong);
  EXPECT_EQ(Blob(*wrong, 0).error().code(), Code::kDataLoss);
  auto zipped = OpenTar(archive("\x1f\x8b zipped"));
  ASSERT_TRUE(zipped);
  EXPECT_EQ(zipped->images[0].image.manifest.layers[0].compression, oci::LayerCompression::kGzip);
  EXPECT_TRUE(Blob(*zipped, 0));
}

TEST_F(LocalTest, RefusesABrokenDockerArchive) {
  for (const char* manifest :
       {"", "{}", "[]", "[{}]", "[{\"Config\":5}]", "[{\"Config\":\"c.json\",\"Layers\":\"x\"}]",
        "[{\"Config\":\"c.json\",\"Layers\":[]}]",
        "[{\"Config\":\"../c.json\",\"Layers\":[\"l\"]}]",
        "[{\"Config\":\"c.json\",\"RepoTags\":[\"BAD NAME\"],\"Layers\":[\"l\"]}]"}) {
    auto local = OpenTar(File("manifest.json", manifest) + File("c.json", image_.config) +
                         File("l", "tar layer one") + End());
    ASSERT_FALSE(local) << manifest;
    EXPECT_EQ(local.error().code(), Code::kInvalidArgument) << local.error().message();
  }
}

}  // namespace
}  // namespace berth::image::fetch
