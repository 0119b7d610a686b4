// SPDX-License-Identifier: Apache-2.0
// Pulls, removals and containers of images that share layers, all at once: whatever a container is given is whole, and
// at the end nothing is left. BERTH_RACE_SECONDS plays longer (2 s). Meant for the sanitizers too.
#include <random>

#include "image/testing/image_store_fixture.h"

namespace berth::image {
namespace {

constexpr const char* kOther = "registry.test/other:1";

class ImageRaceTest : public ImageStoreTest {
 protected:
  void SetUp() override {
    ImageStoreTest::SetUp();
    if (IsSkipped()) return;
    ids_ = {AddTwoLayers(),
            fetcher_.Add(kOther, {.layers = {Gzip(BaseTar())}, .process = {}, .labels = {}})};
  }
  // NotFound is one of the answers: the image may just have been removed.
  void Container(const std::string& container, const std::string& image) {
    Result<Rootfs> rootfs = store_->PrepareRootfs(container, image);
    if (!rootfs) {
      EXPECT_EQ(rootfs.error().code(), Code::kNotFound) << rootfs.error().message();
    } else {
      os::DirFd root(rootfs->mount.Release());
      EXPECT_EQ(root.ReadFile("etc/group", 100).value_or("?"), "root:x:0:\nextra:x:7:app\n");
      if (image == ids_[0]) {
        EXPECT_EQ(root.ReadFile("tmp/new", 10).value_or("?"), "new");
      }
    }
    Result<> removed = store_->RemoveRootfs(container);
    EXPECT_TRUE(removed) << removed.error().message();
  }
  void Play(unsigned seed, std::chrono::steady_clock::time_point end) {
    std::minstd_rand random(seed);
    for (int i = 0; std::chrono::steady_clock::now() < end; ++i) {
      const size_t which = random() % 2;
      switch (random() % 5) {
        case 0:
        case 1: {
          Result<std::string> id = Pull(which == 0 ? kName : kOther);
          EXPECT_EQ(id ? *id : id.error().message(), ids_[which]);
          break;
        }
        case 2: {
          Result<> removed = store_->Remove(ids_[which]);
          EXPECT_TRUE(removed) << removed.error().message();
          break;
        }
        case 3: {
          auto list = store_->List();
          EXPECT_TRUE(list && list->size() <= 2);
          break;
        }
        default:
          Container(StrCat(std::string(58, 'c'), 100 + seed, 100 + i % 900), ids_[which]);
      }
      ++steps_;
    }
  }
  void ExpectNothingLeft() {
    for (const std::string& id : ids_) EXPECT_TRUE(store_->Remove(id));
    EXPECT_THAT(Entries("images/layers"), IsEmpty());
    EXPECT_THAT(Entries("images/tmp"), IsEmpty());
    EXPECT_THAT(Entries("containers"), IsEmpty());
  }

  std::vector<std::string> ids_;
  std::atomic<int> steps_{0};
};

TEST_F(ImageRaceTest, PullsRemovalsAndContainersAtOnce) {
  const char* text = std::getenv("BERTH_RACE_SECONDS");
  const auto end =
      std::chrono::steady_clock::now() +
      std::chrono::seconds(ParseInt(text ? text : "2", 1, 100'000, "seconds").value_or(2));
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) threads.emplace_back([this, t, end] { Play(t + 1, end); });
  for (std::thread& thread : threads) thread.join();
  std::printf("             %d calls\n", steps_.load());
  ExpectNothingLeft();
}

// On purpose: the pull has found one layer there and waits for the other one when the image goes that the first is of.
TEST_F(ImageRaceTest, ARemovalDuringAPullTakesNoLayerFromIt) {
  ASSERT_TRUE(Pull(kOther));
  fetcher_.HoldLayers(true);
  Result<std::string> pulled = Error(Code::kAborted, "");
  std::thread pull([&] { pulled = Pull(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_TRUE(store_->Remove(ids_[1]));
  EXPECT_TRUE(store_->Remove(ids_[0])) << "it is not there yet";
  fetcher_.HoldLayers(false);
  pull.join();
  EXPECT_EQ(pulled ? *pulled : pulled.error().message(), ids_[0]);
  EXPECT_EQ(fetcher_.layer_transfers(), 2) << "the layer that was there is not fetched again";
  Container(kContainer, ids_[0]);
  ExpectNothingLeft();
}

}  // namespace
}  // namespace berth::image
