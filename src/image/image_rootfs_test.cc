// SPDX-License-Identifier: Apache-2.0
// A container's root file system: its layers, its users, its end.
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

}  // namespace
}  // namespace berth::image
