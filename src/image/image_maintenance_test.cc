// SPDX-License-Identifier: Apache-2.0
// The store as its operator uses it: checks and repairs, pinned images, a quota, pulls that are seen.
#include <sys/stat.h>
#include <unistd.h>

#include "base/guarded.h"
#include "base/log.h"
#include "image/testing/image_store_fixture.h"

namespace berth::image {
namespace {

class ImageMaintenanceTest : public ImageStoreTest {
 protected:
  // The directory of the image's layer with that number, as Entries() lists it.
  std::string LayerPath(const std::string& tar) {
    return StrCat(tmp_->path(), "/store/images/layers/", Sha256::Of(tar).hex(), "/fs");
  }
  std::vector<std::string> States(bool heal, const std::string& reference = "") {
    auto checks = store_->Verify(reference, heal);
    EXPECT_TRUE(checks) << (checks ? "" : checks.error().message());
    std::vector<std::string> states;
    if (!checks) return states;
    for (const LayerCheck& check : *checks)
      states.push_back(StrCat(static_cast<int>(check.state), check.detail));
    return states;
  }
  static std::string Is(LayerState state) { return StrCat(static_cast<int>(state)); }
  void Change(const std::string& path, const std::string& content) {
    const os::Fd fd(::openat(AT_FDCWD, path.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(fd) << path;
    struct stat before{};
    ASSERT_EQ(::fstat(fd.get(), &before), 0);
    ASSERT_EQ(::pwrite(fd.get(), content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
    const struct timespec times[2] = {before.st_atim, before.st_mtim};
    ASSERT_EQ(::futimens(fd.get(), times), 0);
  }
  const std::string good_ = Is(LayerState::kGood), changed_ = Is(LayerState::kChanged),
                    healed_ = Is(LayerState::kHealed);
};

TEST_F(ImageMaintenanceTest, ALayerWithAChangedByteIsFoundAndOnlyItIsFetchedAgain) {
  AddTwoLayers();
  ASSERT_TRUE(Pull());
  EXPECT_THAT(States(false), ElementsAre(good_, good_));
  struct stat top{}, now{};
  ASSERT_EQ(::stat(LayerPath(TopTar()).c_str(), &top), 0);
  // Same size, same time: only the content tells.
  Change(LayerPath(BaseTar()) + "/data/below", "BELOW");
  EXPECT_THAT(States(false), ElementsAre(changed_, good_));
  EXPECT_THAT(States(false, kName), ElementsAre(changed_, good_));
  const int transfers = fetcher_.layer_transfers();
  EXPECT_THAT(States(true), ElementsAre(healed_, good_));
  EXPECT_EQ(fetcher_.layer_transfers(), transfers + 1);
  EXPECT_THAT(States(false), ElementsAre(good_, good_));
  ASSERT_EQ(::stat(LayerPath(TopTar()).c_str(), &now), 0);
  EXPECT_EQ(now.st_ino, top.st_ino);
}

TEST_F(ImageMaintenanceTest, EveryKindOfDamageIsFound) {
  AddTwoLayers();
  ASSERT_TRUE(Pull());
  const std::string base = LayerPath(BaseTar());
  const std::function<int()> kDamage[] = {
      [&] { return ::truncate((base + "/etc/passwd").c_str(), 3); },
      [&] { return ::unlink((base + "/old").c_str()); },
      [&] { return ::chmod((base + "/old").c_str(), 04755); },
      [&] { return ::chown((base + "/data").c_str(), 5, 5); },
      [&] { return ::rename((base + "/old").c_str(), (base + "/older").c_str()); },
      [&] { return ::symlink("x", (base + "/new").c_str()); },
      [&] { return ::chmod(base.c_str(), 0777); },
      [&] { return ::chown(base.c_str(), 5, 5); },
  };
  for (size_t i = 0; i < std::size(kDamage); ++i) {
    ASSERT_EQ(kDamage[i](), 0) << i;
    EXPECT_THAT(States(false), ElementsAre(changed_, good_)) << i;
    EXPECT_THAT(States(true), ElementsAre(healed_, good_)) << i;
  }
  // The whole layer.
  auto layers = os::DirFd::OpenTrusted(tmp_->path() + "/store/images/layers");
  ASSERT_TRUE(layers->RemoveTree(std::string(Sha256::Of(BaseTar()).hex())));
  EXPECT_THAT(States(false), ElementsAre(Is(LayerState::kMissing), good_));
  EXPECT_THAT(States(true), ElementsAre(healed_, good_));
}

TEST_F(ImageMaintenanceTest, ALayerFromBeforeRootDirectoriesWereSummedIsGood) {
  AddTwoLayers();
  ASSERT_TRUE(Pull());
  store_.reset();
  {
    auto records = ImageRecords::Open(tmp_->path() + "/store/images/images.db");
    ASSERT_TRUE(records) << records.error().message();
    auto layer = records->Layer(std::string(Sha256::Of(BaseTar()).hex()));
    ASSERT_TRUE(layer && *layer);
    EXPECT_NE((*layer)->result.tree_sum.root, 0U);
    (*layer)->result.tree_sum.root = 0;
    ASSERT_TRUE(records->PutLayer(**layer));
  }
  Reopen();
  ASSERT_EQ(::chmod(LayerPath(BaseTar()).c_str(), 0777), 0);
  EXPECT_THAT(States(false), ElementsAre(good_, good_));
  Change(LayerPath(BaseTar()) + "/data/below", "BELOW");
  EXPECT_THAT(States(false), ElementsAre(changed_, good_));
}

TEST_F(ImageMaintenanceTest, WhatCannotBeHealedIsSaid) {
  const std::string id = AddTwoLayers();
  ASSERT_TRUE(Pull());
  ASSERT_TRUE(store_->PrepareRootfs(kContainer, id));
  Change(LayerPath(BaseTar()) + "/data/below", "BELOW");
  EXPECT_THAT(States(true),
              ElementsAre(Is(LayerState::kNotHealed) + "a container or a pull uses it", good_));
  ASSERT_TRUE(store_->RemoveRootfs(kContainer));
  fetcher_.FailResolve(Code::kUnavailable, "RegistryUnavailable: away");
  auto states = States(true);
  ASSERT_EQ(states.size(), 2U);
  EXPECT_THAT(states[0], HasSubstr("RegistryUnavailable: away"));
  fetcher_.ClearFailures();
  fetcher_.FailLayer(0, Code::kUnavailable, "RegistryUnavailable: cut off");
  states = States(true);
  ASSERT_EQ(states.size(), 2U);
  EXPECT_THAT(states[0], ::testing::StartsWith(Is(LayerState::kNotHealed)));
  EXPECT_THAT(states[0], HasSubstr("RegistryUnavailable: cut off"));
  fetcher_.ClearFailures();
  // After all that it is what it was: changed, and in use.
  EXPECT_THAT(States(false), ElementsAre(changed_, good_));
  EXPECT_THAT(Entries("images/tmp"), IsEmpty());
  auto rootfs = store_->PrepareRootfs(kContainer, id);
  ASSERT_TRUE(rootfs) << rootfs.error().message();
  *rootfs = Rootfs();
  ASSERT_TRUE(store_->RemoveRootfs(kContainer));
  EXPECT_THAT(States(true), ElementsAre(healed_, good_));
  EXPECT_EQ(store_->Verify("nobody/knows:1", false).error().code(), Code::kNotFound);
}

TEST_F(ImageMaintenanceTest, ALayerThatTheRegistryHasNoMoreStays) {
  AddTwoLayers();
  ASSERT_TRUE(Pull());
  Change(LayerPath(BaseTar()) + "/data/below", "BELOW");
  fetcher_.Remove(kName);
  auto states = States(true);
  ASSERT_EQ(states.size(), 2U);
  EXPECT_THAT(states[0], ::testing::StartsWith(Is(LayerState::kNotHealed)));
  EXPECT_THAT(States(false), ElementsAre(changed_, good_));
  EXPECT_EQ(Entries("images/layers").size(), 2U);
  EXPECT_TRUE(*store_->Find(kName));
}

// A helper that does not start says nothing about the layers.
TEST_F(ImageMaintenanceTest, ALayerThatCannotBeReadIsNotTakenForAChangedOne) {
  AddTwoLayers();
  ASSERT_TRUE(Pull());
  store_.reset();
  ProcessUnpacker broken("/bin/false");
  ImageStoreOptions options = options_;
  options.root = tmp_->path() + "/store";
  auto store = ImageStore::Open(std::move(options), fetcher_, broken);
  ASSERT_TRUE(store) << store.error().message();
  store_ = std::move(*store);
  const int transfers = fetcher_.layer_transfers();
  for (const bool heal : {false, true})
    for (const std::string& state : States(heal)) {
      EXPECT_THAT(state, ::testing::StartsWith(Is(LayerState::kNotChecked)));
      EXPECT_THAT(state, HasSubstr("berth-unpack: ended without a result"));
    }
  EXPECT_EQ(fetcher_.layer_transfers(), transfers);
  Reopen();
  EXPECT_THAT(States(false), ElementsAre(good_, good_));
}

TEST_F(ImageMaintenanceTest, ALayerOfAnImageVolumeIsNotTakenFromUnderIt) {
  AddTwoLayers();
  ASSERT_TRUE(Pull());
  constexpr const char* kOther = "registry.test/other:1";
  const std::string other = fetcher_.Add(
      kOther,
      {.layers = {Gzip(TarWriter().File("only", "o").Finish())}, .process = {}, .labels = {}});
  ASSERT_TRUE(Pull(kOther));
  ASSERT_TRUE(store_->PrepareRootfs(kContainer, other));
  VolumeRequest request;
  request.container_id = kContainer;
  request.image_id = kName;
  ASSERT_TRUE(store_->PrepareVolume(request));
  Change(LayerPath(BaseTar()) + "/data/below", "BELOW");
  EXPECT_THAT(States(true, kName),
              ElementsAre(Is(LayerState::kNotHealed) + "a container or a pull uses it", good_));
  ASSERT_TRUE(store_->RemoveRootfs(kContainer));
  EXPECT_THAT(States(true, kName), ElementsAre(healed_, good_));
}

TEST_F(ImageMaintenanceTest, SparseFilesAndHardLinksSumUpAsTheyWereWritten) {
  TarMember sparse;
  sparse.name = "sparse";
  sparse.data = std::string(5000, 'x') + std::string(3, 'y');
  sparse.pax = {{"GNU.sparse.map", "4000,5000,1000000,3"}, {"GNU.sparse.size", "2000000"}};
  std::string zeros(20'000, '\0');
  zeros[9000] = 'z';
  const std::string tar = TarWriter()
                              .Add(sparse)
                              .File("zeros", zeros)
                              .HardLink("again", "sparse")
                              .File("twice", "first")
                              .File("twice", "second time")
                              .File("empty", "")
                              .Finish();
  fetcher_.Add(kName, {.layers = {Gzip(tar)}, .process = {}, .labels = {}});
  ASSERT_TRUE(Pull());
  EXPECT_THAT(States(false), ElementsAre(good_));
}

TEST_F(ImageMaintenanceTest, PinnedImagesAreToldByNameAndByPattern) {
  const std::string id = AddTwoLayers();
  ASSERT_TRUE(Pull());
  for (const auto& [pin, pinned] : std::map<std::string, bool>{{kName, true},
                                                               {id, true},
                                                               {"registry.test/*", true},
                                                               {"registry.test/app:?", true},
                                                               {"registry.test/app", false},
                                                               {"registry.tes?", false},
                                                               {"busybox", false}}) {
    options_.pinned = {pin};
    Reopen();
    EXPECT_EQ((*store_->Find(kName))->info.pinned, pinned) << pin;
    EXPECT_EQ(store_->List()->front().pinned, pinned) << pin;
  }
  options_.pinned = {"Not A Name"};
  options_.root = tmp_->path() + "/other";
  auto bad = ImageStore::Open(options_, fetcher_, unpacker_);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(bad.error().message(), HasSubstr("pinned images"));
}

TEST_F(ImageMaintenanceTest, AFullQuotaRefusesPullsAndRemovalMakesRoom) {
  options_.max_bytes = 200'000;
  Reopen();
  AddTwoLayers();
  ASSERT_TRUE(Pull());
  const std::string large = TarWriter().File("large", std::string(180'000, 'x')).Finish();
  fetcher_.Add("registry.test/large:1", {.layers = {Gzip(large)}, .process = {}, .labels = {}});
  auto refused = Pull("registry.test/large:1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted) << refused.error().message();
  EXPECT_THAT(Entries("images/tmp"), IsEmpty());
  EXPECT_EQ(Entries("images/layers").size(), 2U);
  EXPECT_TRUE(*store_->Find(kName));
  ASSERT_TRUE(store_->Remove(kName));
  auto pulled = Pull("registry.test/large:1");
  EXPECT_TRUE(pulled) << pulled.error().message();
}

// Keeps lines while it lives.
class Lines final : public LogSink {
 public:
  Lines() { SetLogSink(this); }
  ~Lines() override { SetLogSink(nullptr); }
  void Write(LogLevel, std::string_view line) override { lines_.Lock()->emplace_back(line); }
  std::vector<std::string> lines() { return *lines_.Lock(); }

 private:
  Guarded<std::vector<std::string>> lines_;
};

TEST_F(ImageMaintenanceTest, APullThatGoesOnIsSeenWithItsCallers) {
  options_.progress_period = std::chrono::milliseconds(20);
  Reopen();
  Lines log;
  AddTwoLayers();
  fetcher_.HoldLayers(true);
  std::thread first([&] { EXPECT_TRUE(Pull()); });
  std::thread second([&] { EXPECT_TRUE(Pull()); });
  std::vector<PullStatus> pulls;
  for (int i = 0; i < 1000; ++i) {
    pulls = store_->Pulls();
    if (pulls.size() == 1 && pulls[0].waiting == 2 && pulls[0].layers == 2) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_EQ(pulls.size(), 1U);
  EXPECT_EQ(pulls[0].reference, kName);
  EXPECT_EQ(pulls[0].waiting, 2);
  EXPECT_EQ(pulls[0].layers, 2U);
  EXPECT_EQ(pulls[0].layers_done, 0U);
  EXPECT_EQ(pulls[0].received_bytes, 0U);
  const size_t size = GzipStored(BaseTar()).size() + GzipStored(TopTar()).size();
  EXPECT_EQ(pulls[0].total_bytes, size);
  const std::string line = StrCat(kName, ": 0/2 layers, 0 of ", size, " bytes, ");
  EXPECT_THAT(PullLine(pulls[0]), ::testing::StartsWith(line));
  EXPECT_THAT(PullLine(pulls[0]), ::testing::EndsWith(" s, 2 callers"));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_THAT(log.lines(), ::testing::Contains(HasSubstr(StrCat("pull ", line))));
  fetcher_.HoldLayers(false);
  first.join();
  second.join();
  EXPECT_THAT(store_->Pulls(), IsEmpty());
  EXPECT_EQ(store_->Totals().done, 1U);
  EXPECT_EQ(store_->Totals().received_bytes, size);
}

TEST_F(ImageMaintenanceTest, WhatIsThereAlreadyIsNoPartOfAPullsSize) {
  AddTwoLayers();
  ASSERT_TRUE(Pull());
  const std::string more = TarWriter().File("more", "m").Finish();
  fetcher_.Add("registry.test/more:1",
               {.layers = {Gzip(BaseTar()), Gzip(more)}, .process = {}, .labels = {}});
  fetcher_.HoldLayers(true);
  std::stop_source stop;
  std::thread pull([&] {
    PullRequest request;
    request.reference = "registry.test/more:1";
    request.cancel = stop.get_token();
    auto pulled = store_->Pull(request);
    ASSERT_FALSE(pulled);
    EXPECT_EQ(pulled.error().code(), Code::kCancelled);
  });
  std::vector<PullStatus> pulls;
  for (int i = 0; i < 1000 && (pulls.empty() || pulls[0].layers_done < 1); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pulls = store_->Pulls();
  }
  ASSERT_EQ(pulls.size(), 1U);
  EXPECT_EQ(pulls[0].layers_done, 1U);
  EXPECT_EQ(pulls[0].total_bytes, GzipStored(more).size());
  stop.request_stop();
  pull.join();
  fetcher_.FailResolve(Code::kUnavailable, "RegistryUnavailable: away");
  EXPECT_FALSE(Pull());
  for (int i = 0; i < 1000 && store_->Totals().cancelled == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(store_->Totals().done, 1U);
  EXPECT_EQ(store_->Totals().failed, 1U);
  EXPECT_EQ(store_->Totals().cancelled, 1U);
}

// Where a quota is reached or no block is free, nothing can be made.
TEST_F(ImageStoreTest, AnotherStartMakesNothingAndEmptiesWhatWasUnfinished) {
  Reopen();
  const os::DirFd store = *os::DirFd::OpenTrusted(tmp_->path() + "/store/images");
  ASSERT_TRUE(store.MakeDir("tmp/unfinished", 0700));
  ASSERT_TRUE(store.WriteFile("tmp/unfinished/file", "x", 0600));
  const ino_t tmp = store.Stat("tmp")->st_ino;
  const ino_t mtab = store.Stat("init-layer/etc/mtab")->st_ino;
  Reopen();
  EXPECT_THAT(Entries("images/tmp"), IsEmpty());
  EXPECT_EQ(store.Stat("tmp")->st_ino, tmp);
  EXPECT_EQ(store.Stat("init-layer/etc/mtab")->st_ino, mtab);
}

}  // namespace
}  // namespace berth::image
