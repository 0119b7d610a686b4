// SPDX-License-Identifier: Apache-2.0
// Image volumes of the store, with a registry in memory and the real berth-unpack: needs root.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"
#include "image/image_store.h"
#include "image/testing/fake_fetcher.h"
#include "tests/support/tar_writer.h"

namespace berth::image {
namespace {

using berth::testing::GzipStored;
using berth::testing::TarMember;
using berth::testing::TarWriter;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kContainer(64, 'c');
constexpr const char* kName = "registry.test/data:1";

FakeLayer Gzip(const std::string& tar) {
  return {GzipStored(tar), tar, oci::LayerCompression::kGzip};
}

class ImageVolumeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounts and makes namespaces: needs root";
    ::signal(SIGPIPE, SIG_IGN);
    Reopen();
    TarMember fifo;
    fifo.name = "pipe";
    fifo.type = '6';
    const std::string base = TarWriter()
                                 .Dir("./", 0750)
                                 .Dir("data", 0701)
                                 .File("data/file", "below")
                                 .File("gone", "x")
                                 .Symlink("link", "data")
                                 .Symlink("out", "../../../../etc")
                                 .Symlink("abs", "/data/file")
                                 .Symlink("loop", "loop")
                                 .Add(fifo)
                                 .Finish();
    // The top layer has data without describing it.
    const std::string top = TarWriter().File(".wh.gone", "").File("data/new", "new").Finish();
    id_ = fetcher_.Add(kName, {.layers = {Gzip(base), Gzip(top)}, .process = {}, .labels = {}});
    PullRequest pull;
    pull.reference = kName;
    ASSERT_TRUE(store_->Pull(pull));
    ASSERT_TRUE(store_->PrepareRootfs(kContainer, id_));
  }
  void Reopen() {
    store_.reset();
    auto store = ImageStore::Open({.root = tmp_.path() + "/store"}, fetcher_, unpacker_);
    ASSERT_TRUE(store) << store.error().message();
    store_ = std::move(*store);
  }
  Result<ImageVolume> Prepare(const std::string& sub_path = "", uint32_t index = 0) {
    return store_->PrepareVolume(Request(index, id_, sub_path));
  }
  static VolumeRequest Request(uint32_t index, const std::string& image,
                               const std::string& sub_path = "") {
    VolumeRequest request;
    request.container_id = kContainer;
    request.index = index;
    request.image_id = image;
    request.sub_path = sub_path;
    return request;
  }
  void ExpectRefused(const std::string& sub_path, Code code, const char* fragment) {
    auto refused = Prepare(sub_path);
    ASSERT_FALSE(refused) << sub_path;
    EXPECT_EQ(refused.error().code(), code) << refused.error().message();
    EXPECT_THAT(refused.error().message(), HasSubstr(fragment)) << sub_path;
  }
  size_t Layers() {
    return os::DirFd::OpenTrusted(tmp_.path() + "/store/images/layers")->List()->size();
  }

  os::TempDir tmp_ = *os::TempDir::Make();
  FakeFetcher fetcher_;
  ProcessUnpacker unpacker_{BERTH_UNPACK};
  std::unique_ptr<ImageStore> store_;
  std::string id_;
};

TEST_F(ImageVolumeTest, IsTheMergedImageAndNothingElseAndCannotBeWritten) {
  auto volume = Prepare();
  ASSERT_TRUE(volume) << volume.error().message();
  EXPECT_EQ(volume->path, "");
  EXPECT_TRUE(volume->directory);
  const os::DirFd root = *volume->mount.OpenRoot();
  EXPECT_EQ(*root.ReadFile("data/new", 10), "new");
  EXPECT_EQ(*root.ReadFile("data/file", 10), "below");
  EXPECT_FALSE(*root.Exists("gone"));
  for (const char* ours : {"dev", "proc", "etc"}) EXPECT_FALSE(*root.Exists(ours)) << ours;
  EXPECT_EQ(root.Stat("data")->st_mode, S_IFDIR | 0701U);
  struct stat st{};
  ASSERT_EQ(::fstat(root.get(), &st), 0);
  EXPECT_EQ(st.st_mode, S_IFDIR | 0750U);
  EXPECT_EQ(root.WriteFile("x", "y", 0644).error().sys_errno(), EROFS);
}

TEST_F(ImageVolumeTest, SubPathsAreSeenFromTheImagesRoot) {
  const std::pair<const char*, const char*> cases[] = {
      {"data", "data"},     {"data/file", "data/file"},
      {"link", "data"},     {"link/./file", "data/file"},
      {"abs", "data/file"}, {".", ""}};
  for (const auto& [asked, found] : cases) {
    auto volume = Prepare(asked);
    ASSERT_TRUE(volume) << asked << ": " << volume.error().message();
    EXPECT_EQ(volume->path, found) << asked;
    EXPECT_EQ(volume->directory, std::string_view(found).find("file") == std::string_view::npos);
  }
}

TEST_F(ImageVolumeTest, BadSubPathsAreRefused) {
  ExpectRefused("missing", Code::kNotFound, "missing");
  ExpectRefused("out", Code::kNotFound, "out");  // stays inside, where there is no /etc
  ExpectRefused("loop", Code::kFailedPrecondition, "loop");
  ExpectRefused("pipe", Code::kFailedPrecondition, "neither a directory nor a file");
  ExpectRefused("../x", Code::kInvalidArgument, "\"..\"");
  ExpectRefused("/data", Code::kInvalidArgument, "not relative");
  ExpectRefused(std::string("a\0b", 3), Code::kInvalidArgument, "zero byte");
  ExpectRefused(std::string(5000, 'a'), Code::kInvalidArgument, "too long");
}

TEST_F(ImageVolumeTest, KeepsItsLayersUntilTheContainerGoes) {
  const std::string other = fetcher_.Add(
      "registry.test/other:1",
      {.layers = {Gzip(TarWriter().File("only", "o").Finish())}, .process = {}, .labels = {}});
  PullRequest pull;
  pull.reference = "registry.test/other:1";
  ASSERT_TRUE(store_->Pull(pull));
  ASSERT_TRUE(store_->PrepareVolume(Request(1, other)));
  ASSERT_EQ(Layers(), 3U);
  ASSERT_TRUE(store_->Remove(other));
  ASSERT_TRUE(store_->Remove(id_));
  Reopen();
  EXPECT_EQ(Layers(), 3U);
  ASSERT_TRUE(store_->RemoveRootfs(kContainer));
  EXPECT_EQ(Layers(), 0U);
  EXPECT_THAT(*os::DirFd::OpenTrusted(tmp_.path() + "/store/containers")->List(), IsEmpty());
}

TEST_F(ImageVolumeTest, NeedsAContainerAndAnImageWithFiles) {
  VolumeRequest request = Request(0, "no");
  EXPECT_EQ(store_->PrepareVolume(request).error().code(), Code::kNotFound);
  request.image_id = id_;
  request.container_id = std::string(64, 'd');
  EXPECT_EQ(store_->PrepareVolume(request).error().code(), Code::kFailedPrecondition);
  request.container_id = "../x";
  EXPECT_EQ(store_->PrepareVolume(request).error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace berth::image
