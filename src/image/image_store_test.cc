// SPDX-License-Identifier: Apache-2.0
// The store as pods use it.
#include "image/testing/image_store_fixture.h"

namespace berth::image {
namespace {

TEST_F(ImageStoreTest, AContainerSeesTheMergedLayers) {
  const std::string id = AddTwoLayers();
  auto pulled = Pull();
  ASSERT_TRUE(pulled) << pulled.error().message();
  EXPECT_EQ(*pulled, id);
  auto rootfs = store_->PrepareRootfs(kContainer, id);
  ASSERT_TRUE(rootfs) << rootfs.error().message();
  os::DirFd root(rootfs->mount.Release());
  EXPECT_FALSE(*root.Exists("old"));
  EXPECT_FALSE(*root.Exists("data/below"));
  EXPECT_TRUE(*root.Exists("data"));
  EXPECT_EQ(*root.ReadFile("tmp/new", 100), "new");
  // The top layer does not describe /tmp: the base's mode holds.
  EXPECT_EQ(root.Stat("tmp")->st_mode, S_IFDIR | 01777U);
  EXPECT_EQ(root.Stat("etc")->st_mode, S_IFDIR | 0755U);
  EXPECT_TRUE(S_ISLNK(root.Stat("etc/mtab")->st_mode));
  EXPECT_TRUE(*root.Exists("etc/hosts"));
  EXPECT_TRUE(root.WriteFile("written", "w", 0644));
  EXPECT_THAT(*store_->ListRootfs(), ElementsAre(kContainer));
  root = os::DirFd();
  // The same again, with what was written.
  auto again = store_->PrepareRootfs(kContainer, id);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(*os::DirFd(again->mount.Release()).ReadFile("written", 10), "w");
  ASSERT_TRUE(store_->RemoveRootfs(kContainer));
  ASSERT_TRUE(store_->RemoveRootfs(kContainer));
  EXPECT_THAT(Entries("containers"), IsEmpty());
}

// One layer more than once in an image, with others between: as if each were unpacked over the last.
TEST_F(ImageStoreTest, ALayerThatAnImageHasTwiceCountsWhereItIsTopmost) {
  const std::string x = TarWriter()
                            .File("file", "of x")
                            .File("etc/passwd", "app:x:7:7::/of-x:/bin/sh\n")
                            .File(".wh.old", "")
                            .Dir("data", 0711)
                            .File("data/.wh..wh..opq", "")
                            .File("data/x", "x")
                            .Dir("merged", 0700)
                            .File("merged/x", "x")
                            .Finish();
  const std::string y = TarWriter()
                            .File(".wh.file", "")
                            .File("old", "of y")
                            .File("data/y", "y")
                            .Dir("merged", 0755)
                            .File("merged/y", "y")
                            .Finish();
  const FakeLayer base = Gzip(BaseTar()), lx = Gzip(x), ly = Gzip(y);
  struct Case {
    std::vector<FakeLayer> layers;
    std::vector<std::string> there, gone;
    std::string home;
  };
  const Case kCases[] = {
      {{base, lx, lx}, {"file", "data/x", "tmp"}, {"old", "data/below"}, "/of-x"},
      {{base, lx, ly, lx},
       {"file", "data/x", "merged/x", "merged/y"},
       {"old", "data/below", "data/y"},
       "/of-x"},
      {{base, ly, lx, ly},
       {"old", "data/x", "data/y", "merged/x", "merged/y"},
       {"file", "data/below"},
       "/of-x"},
      {{base, lx, base}, {"file", "old", "data/x", "data/below"}, {}, "/home/app"},
  };
  for (size_t i = 0; i < std::size(kCases); ++i) {
    const Case& c = kCases[i];
    const std::string id = fetcher_.Add(kName, {.layers = c.layers, .process = {}, .labels = {}});
    ASSERT_TRUE(Pull()) << i;
    auto rootfs = store_->PrepareRootfs(kContainer, id);
    ASSERT_TRUE(rootfs) << i << rootfs.error().message();
    VolumeRequest request;
    request.container_id = kContainer;
    request.image_id = id;
    auto volume = store_->PrepareVolume(request);
    ASSERT_TRUE(volume) << i << volume.error().message();
    for (os::Mount* mount : {&rootfs->mount, &volume->mount}) {
      const os::DirFd root(mount->Release());
      for (const std::string& path : c.there) EXPECT_TRUE(*root.Exists(path)) << i << path;
      for (const std::string& path : c.gone) EXPECT_FALSE(*root.Exists(path)) << i << path;
    }
    UserQuery query;
    query.user = "app";
    auto user = store_->ResolveUser(id, query);
    ASSERT_TRUE(user) << i << user.error().message();
    EXPECT_EQ(user->home, c.home) << i;
    // What an image takes on disk, it takes once.
    EXPECT_LE((*store_->Find(id))->info.size_bytes,
              store_->FsInfo()->images.used_bytes + (*store_->Find(id))->config_json.size())
        << i;
    ASSERT_TRUE(store_->RemoveRootfs(kContainer));
    ASSERT_TRUE(store_->Remove(id));
    EXPECT_THAT(Entries("images/layers"), IsEmpty()) << i;
  }
}

TEST_F(ImageStoreTest, SymlinksOfTheImageDoNotRedirectTheRuntimesMounts) {
  fetcher_.Add(kName, {.layers = {Gzip(TarWriter()
                                           .Symlink("proc", "/etc")
                                           .Symlink("dev", "..")
                                           .Symlink("sys", "/")
                                           .Dir("etc")
                                           .Symlink("etc/hosts", "/victim")
                                           .File("etc/kept", "k")
                                           .Finish())},
                       .process = {},
                       .labels = {}});
  auto id = Pull();
  ASSERT_TRUE(id) << id.error().message();
  auto rootfs = store_->PrepareRootfs(kContainer, *id);
  ASSERT_TRUE(rootfs) << rootfs.error().message();
  os::DirFd root(rootfs->mount.Release());
  for (const char* dir : {"proc", "dev", "sys", "etc"})
    EXPECT_TRUE(S_ISDIR(root.Stat(dir)->st_mode)) << dir;
  EXPECT_TRUE(S_ISREG(root.Stat("etc/hosts")->st_mode));
  EXPECT_EQ(*root.ReadFile("etc/kept", 10), "k");
}

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

TEST_F(ImageStoreTest, AContainerKeepsItsLayersWhenTheImageGoes) {
  const std::string id = AddTwoLayers();
  ASSERT_TRUE(Pull());
  ASSERT_TRUE(store_->PrepareRootfs(kContainer, id));
  ASSERT_TRUE(store_->Remove(id));
  ASSERT_TRUE(store_->Remove(id));
  EXPECT_FALSE(*store_->Find(id));
  EXPECT_EQ(Entries("images/layers").size(), 2U);
  Reopen();
  EXPECT_EQ(Entries("images/layers").size(), 2U);
  ASSERT_TRUE(store_->RemoveRootfs(kContainer));
  EXPECT_THAT(Entries("images/layers"), IsEmpty());
}

TEST_F(ImageStoreTest, AContainerIsNotTakenForRemovedWhenItCannotBeMovedAside) {
  const std::string id = AddTwoLayers();
  ASSERT_TRUE(Pull());
  ASSERT_TRUE(store_->PrepareRootfs(kContainer, id));
  auto images = os::DirFd::OpenTrusted(tmp_->path() + "/store/images");
  ASSERT_TRUE(images->Rename("tmp", "elsewhere", false));
  Result<> removed = store_->RemoveRootfs(kContainer);
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code(), Code::kInternal);
  EXPECT_THAT(removed.error().message(), HasSubstr("images/tmp"));
  EXPECT_THAT(Entries("containers"), ElementsAre(kContainer));
  ASSERT_TRUE(images->Rename("elsewhere", "tmp", false));
  EXPECT_TRUE(store_->RemoveRootfs(kContainer));
  EXPECT_TRUE(store_->RemoveRootfs(kContainer));
  EXPECT_THAT(Entries("containers"), IsEmpty());
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

TEST_F(ImageStoreTest, ResolvesUsersInTheImage) {
  const std::string id = AddTwoLayers();
  ASSERT_TRUE(Pull());
  UserQuery query;
  query.user = "app";
  for (int i = 0; i < 2; ++i) {
    auto user = store_->ResolveUser(id, query);
    ASSERT_TRUE(user) << user.error().message();
    EXPECT_EQ(user->uid, 100U);
    EXPECT_EQ(user->home, "/home/app");
    EXPECT_THAT(user->additional_gids, ElementsAre(101, 7));
  }
  query.user = "ghost";
  EXPECT_EQ(store_->ResolveUser(id, query).error().code(), Code::kNotFound);
}

TEST_F(ImageStoreTest, HostileUserFilesNeitherBlockNorLeak) {
  TarMember fifo;
  fifo.name = "etc/passwd";
  fifo.type = '6';
  TarMember device = fifo;
  device.type = '3';
  device.major = 1;
  device.minor = 5;
  TarMember huge;
  huge.name = "etc/passwd";
  huge.pax = {{"GNU.sparse.size", "10737418240"}, {"GNU.sparse.map", ""}};
  UserQuery query;
  query.user = "root";
  int n = 0;
  for (const std::string& tar :
       {TarWriter().Add(fifo).Finish(), TarWriter().Add(device).Finish(),
        TarWriter().Add(huge).Finish(), TarWriter().Dir("etc/passwd").Finish(),
        TarWriter().Symlink("etc/passwd", "passwd").Finish()}) {
    const std::string name = StrCat("registry.test/user:", ++n);
    fetcher_.Add(name, {.layers = {Gzip(tar)}, .process = {}, .labels = {}});
    auto id = Pull(name);
    ASSERT_TRUE(id) << n << id.error().message();
    auto user = store_->ResolveUser(*id, query);
    ASSERT_FALSE(user) << n;
    EXPECT_NE(user.error().code(), Code::kNotFound) << n << user.error().message();
  }
  // A link to the host's own file finds the image's root instead, where there is none.
  fetcher_.Add("registry.test/user:link",
               {.layers = {Gzip(TarWriter().Symlink("etc/passwd", "/../../x/passwd").Finish())},
                .process = {},
                .labels = {}});
  auto id = Pull("registry.test/user:link");
  ASSERT_TRUE(id);
  EXPECT_EQ(store_->ResolveUser(*id, query).error().code(), Code::kNotFound);
}

TEST_F(ImageStoreTest, AnImageWithoutLayersWorks) {
  fetcher_.Add(kName, {.layers = {}, .process = {}, .labels = {}});
  auto id = Pull();
  ASSERT_TRUE(id) << id.error().message();
  EXPECT_GT((*store_->Find(*id))->info.size_bytes, 0U);
  UserQuery query;
  query.user = "5:6";
  EXPECT_EQ(store_->ResolveUser(*id, query)->gid, 6U);
  auto rootfs = store_->PrepareRootfs(kContainer, *id);
  EXPECT_TRUE(rootfs) << rootfs.error().message();
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
