// SPDX-License-Identifier: Apache-2.0
// Pulls, names, removals and what a start puts right; root file systems are in image_rootfs_test.cc.
#include "image/testing/image_store_fixture.h"

namespace berth::image {
namespace {

TEST_F(ImageStoreTest, Rule6FindsByEveryName) {
  const std::string id = AddTwoLayers();
  ASSERT_TRUE(Pull());
  const auto info = (*store_->Find(kName))->info;
  ASSERT_EQ(info.digests.size(), 1U);
  EXPECT_THAT(info.tags, ElementsAre(kName));
  EXPECT_EQ(info.user, "app");
  EXPECT_GT(info.size_bytes, 0U);
  const std::string hex = id.substr(7);
  const std::string digest = info.digests[0].substr(info.digests[0].find('@'));
  for (const std::string& name :
       {id, hex, hex.substr(0, 12), "sha256:" + hex.substr(0, 9), info.digests[0],
        "registry.test/app:other" + digest, digest.substr(1)}) {
    auto found = store_->Find(name);
    ASSERT_TRUE(found) << name;
    ASSERT_TRUE(*found) << name;
    EXPECT_EQ((*found)->info.id, id);
  }
  for (const char* name : {"ab", "app", "registry.test/app", "UPPER", "deadbeef", "", "a b"})
    EXPECT_FALSE(*store_->Find(name)) << name;
  const FoundImage found = **store_->Find(id);
  EXPECT_THAT(found.process.cmd, ElementsAre("run"));
  EXPECT_EQ(found.info.labels.at("k"), "v");
}

TEST_F(ImageStoreTest, Rule13ASecondPullAsksTheRegistryAndFetchesNothing) {
  AddTwoLayers();
  ASSERT_TRUE(Pull());
  EXPECT_EQ(fetcher_.layer_transfers(), 2);
  ASSERT_TRUE(Pull());
  EXPECT_EQ(fetcher_.resolves(), 2);
  EXPECT_EQ(fetcher_.layer_transfers(), 2);
  Reopen();
  ASSERT_TRUE(Pull());
  EXPECT_EQ(fetcher_.layer_transfers(), 2);
}

TEST_F(ImageStoreTest, Rule11AMovedTagLeavesTheOldImageItsDigest) {
  const std::string first = AddTwoLayers();
  ASSERT_TRUE(Pull());
  const std::string second =
      fetcher_.Add(kName, {.layers = {Gzip(BaseTar())}, .process = {}, .labels = {}});
  ASSERT_EQ(*Pull(), second);
  EXPECT_EQ((*store_->Find(kName))->info.id, second);
  const auto old = *store_->Find(first);
  ASSERT_TRUE(old);
  EXPECT_THAT(old->info.tags, IsEmpty());
  EXPECT_EQ(old->info.digests.size(), 1U);
  EXPECT_EQ(store_->List()->size(), 2U);
  // Shared layers stay for the other image.
  ASSERT_TRUE(store_->Remove(first));
  EXPECT_EQ(Entries("images/layers").size(), 1U);
  ASSERT_TRUE(store_->Remove(kName));
  EXPECT_THAT(Entries("images/layers"), IsEmpty());
  EXPECT_EQ(store_->FsInfo()->images.used_bytes, 0U);
}

TEST_F(ImageStoreTest, AFailedPullLeavesNothing) {
  AddTwoLayers();
  fetcher_.FailLayer(1, Code::kUnavailable, "RegistryUnavailable: gone");
  auto failed = Pull();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kUnavailable);
  EXPECT_THAT(failed.error().message(), HasSubstr("RegistryUnavailable"));
  fetcher_.ClearFailures();
  // Content that does not have the promised diff_id; content that is no layer.
  fetcher_.Add("registry.test/wrong:1",
               {.layers = {{BaseTar(), TopTar()}}, .process = {}, .labels = {}});
  auto wrong = Pull("registry.test/wrong:1");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), Code::kDataLoss);
  EXPECT_THAT(wrong.error().message(), HasSubstr("diff_id"));
  fetcher_.Add("registry.test/junk:1",
               {.layers = {{std::string(3 << 20, 'x'), ""}}, .process = {}, .labels = {}});
  auto junk = Pull("registry.test/junk:1");
  ASSERT_FALSE(junk);
  EXPECT_EQ(junk.error().code(), Code::kDataLoss) << junk.error().message();
  EXPECT_THAT(Entries("images/layers"), IsEmpty());
  EXPECT_THAT(Entries("images/tmp"), IsEmpty());
  EXPECT_THAT(*store_->List(), IsEmpty());
  ASSERT_TRUE(Pull());
}

TEST_F(ImageStoreTest, ConcurrentPullsOfOneImageAreOne) {
  AddTwoLayers();
  fetcher_.HoldLayers(true);
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 5; ++i)
    threads.emplace_back([&] {
      if (Pull()) ++good;
    });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  fetcher_.HoldLayers(false);
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(good, 5);
  EXPECT_EQ(fetcher_.resolves(), 1);
  EXPECT_EQ(fetcher_.layer_transfers(), 2);
}

TEST_F(ImageStoreTest, ConcurrentPullsOfTwoImagesShareALayer) {
  AddTwoLayers();
  ImageProcess process;
  process.user = "x";
  fetcher_.Add("registry.test/other:1",
               {.layers = {Gzip(BaseTar())}, .process = process, .labels = {}});
  fetcher_.HoldLayers(true);
  std::atomic<int> good = 0;
  std::thread one([&] { good += Pull().has_value(); });
  std::thread two([&] { good += Pull("registry.test/other:1").has_value(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  fetcher_.HoldLayers(false);
  one.join();
  two.join();
  EXPECT_EQ(good, 2);
  EXPECT_EQ(fetcher_.layer_transfers(), 2);
}

TEST_F(ImageStoreTest, ACancelledPullEndsAndCanBeRepeated) {
  AddTwoLayers();
  fetcher_.HoldLayers(true);
  std::stop_source stop;
  PullRequest request;
  request.reference = kName;
  request.cancel = stop.get_token();
  Result<std::string> result;
  std::thread puller([&] { result = store_->Pull(request); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  stop.request_stop();
  puller.join();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kCancelled);
  fetcher_.HoldLayers(false);
  ASSERT_TRUE(Pull());
}

TEST_F(ImageStoreTest, AStartPutsRightWhatACrashLeft) {
  const std::string id = AddTwoLayers();
  ASSERT_TRUE(Pull());
  const std::vector<std::string> layers = Entries("images/layers");
  store_.reset();
  auto images = os::DirFd::OpenTrusted(tmp_->path() + "/store/images");
  ASSERT_TRUE(images->MakeDir("tmp/half", 0700));
  ASSERT_TRUE(images->MakeDir("layers/" + std::string(64, 'a'), 0700));
  ASSERT_TRUE(images->RemoveTree("layers/" + layers[0]));
  Reopen();
  EXPECT_THAT(Entries("images/tmp"), IsEmpty());
  EXPECT_EQ(Entries("images/layers").size(), 1U);
  // As if it were not there: else nobody would pull it.
  EXPECT_FALSE(*store_->Find(id));
  EXPECT_FALSE(*store_->Find(kName));
  EXPECT_THAT(*store_->List(), IsEmpty());
  auto rootfs = store_->PrepareRootfs(kContainer, id);
  ASSERT_FALSE(rootfs);
  EXPECT_EQ(rootfs.error().code(), Code::kDataLoss);
  EXPECT_THAT(rootfs.error().message(), HasSubstr("is lost: pull the image again"));
  EXPECT_THAT(*store_->ListRootfs(), IsEmpty());
  ASSERT_TRUE(Pull());
  EXPECT_TRUE(*store_->Find(kName));
  EXPECT_EQ(store_->List()->size(), 1U);
  EXPECT_TRUE(store_->PrepareRootfs(kContainer, id));
}

TEST_F(ImageStoreTest, ImportsLocalImages) {
  fetcher_.SetLocal(
      {{"registry.test/local:1", {.layers = {Gzip(BaseTar())}, .process = {}, .labels = {}}}});
  auto ids = store_->Import(*os::MakeMemFile("archive", ""), "");
  ASSERT_TRUE(ids) << ids.error().message();
  ASSERT_EQ(ids->size(), 1U);
  EXPECT_TRUE(*store_->Find("registry.test/local:1"));
}

TEST_F(ImageStoreTest, BadIdsAreRefused) {
  AddTwoLayers();
  const std::string id = *Pull();
  for (const char* bad : {"", "..", "x/y", "ABC"}) {
    EXPECT_EQ(store_->PrepareRootfs(bad, id).error().code(), Code::kInvalidArgument);
    EXPECT_EQ(store_->RemoveRootfs(bad).error().code(), Code::kInvalidArgument);
  }
  EXPECT_EQ(store_->PrepareRootfs(kContainer, "nothing").error().code(), Code::kNotFound);
  EXPECT_EQ(Pull(id).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(store_->Remove("").error().code(), Code::kInvalidArgument);
}

TEST_F(ImageStoreTest, NobodyElseMayEnterTheStore) {
  AddTwoLayers();
  ASSERT_TRUE(Pull());
  auto top = os::DirFd::OpenTrusted(tmp_->path() + "/store");
  for (const char* dir : {"images", "images/layers", "images/tmp", "containers"})
    EXPECT_EQ(top->Stat(dir)->st_mode & 0777, 0700U) << dir;
  EXPECT_EQ(top->Stat("images/images.db")->st_mode & 0777, 0600U);
}

}  // namespace
}  // namespace berth::image
