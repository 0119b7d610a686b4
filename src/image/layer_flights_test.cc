// SPDX-License-Identifier: Apache-2.0
#include "image/layer_flights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "os/dir_fd.h"

namespace berth::image {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class LayerFlightsTest : public ::testing::Test {
 protected:
  // A maker that has begun and waits for `go`.
  std::thread Slow(LayerFlights& flights, const std::string& source) {
    std::thread slow([this, &flights, source] {
      slow_ = flights.Get({"d", source}, {}, NotThere, [this] {
        begun_ = true;
        begun_.notify_all();
        go_.wait(false);
        return Make();
      });
    });
    begun_.wait(false);
    return slow;
  }
  void Go() {
    go_ = true;
    go_.notify_all();
  }
  Result<LayerFlights::Staged> Make() { return layers_.Stage(); }
  static Result<bool> NotThere() { return false; }

  os::TempDir tmp_ = *os::TempDir::Make();
  LayerStore layers_ = *LayerStore::Open(*os::DirFd::OpenTrusted(tmp_.path()));
  std::atomic<bool> begun_ = false, go_ = false;
  Result<LayerFlights::Staged> slow_ = LayerFlights::Staged();
};

TEST_F(LayerFlightsTest, OneSourceWaitsForItsTransferHoweverLong) {
  LayerFlights flights(10ms);
  std::thread slow = Slow(flights, "a.test");
  std::atomic<bool> over = false;
  Result<LayerFlights::Staged> joined = LayerFlights::Staged();
  std::thread joiner([&] {
    joined = flights.Get({"d", "a.test"}, {}, NotThere, [this] { return Make(); });
    over = true;
  });
  std::this_thread::sleep_for(200ms);
  EXPECT_FALSE(over);
  Go();
  slow.join();
  joiner.join();
  ASSERT_TRUE(slow_ && joined && *slow_);
  EXPECT_EQ(*joined, *slow_);
}

TEST_F(LayerFlightsTest, AnotherSourceHasPatienceAndThenMakesItsOwn) {
  LayerFlights flights(100ms);
  std::thread slow = Slow(flights, "slow.test");
  const auto began = std::chrono::steady_clock::now();
  auto own = flights.Get({"d", "fast.test"}, {}, NotThere, [this] { return Make(); });
  EXPECT_GE(std::chrono::steady_clock::now() - began, 100ms);
  ASSERT_TRUE(own && *own);
  // Who comes now has what is complete, at once and whatever his source is.
  for (const char* source : {"third.test", "fast.test", "slow.test"}) {
    auto shared = flights.Get({"d", source}, {}, NotThere, [this] { return Make(); });
    ASSERT_TRUE(shared) << source;
    EXPECT_EQ(*shared, *own) << source;
  }
  Go();
  slow.join();
  ASSERT_TRUE(slow_ && *slow_);
  EXPECT_NE(*slow_, *own);
}

TEST_F(LayerFlightsTest, AfterItsPatienceItLooksWhetherTheLayerIsThere) {
  LayerFlights flights(10ms);
  std::thread slow = Slow(flights, "slow.test");
  auto there = flights.Get(
      {"d", "fast.test"}, {}, [] { return Result<bool>(true); },
      [this] {
        ADD_FAILURE() << "made once more";
        return Make();
      });
  ASSERT_TRUE(there);
  EXPECT_EQ(*there, nullptr);
  Go();
  slow.join();
}

TEST_F(LayerFlightsTest, AnotherSourceThatIsQuickEnoughIsShared) {
  LayerFlights flights(60s);
  std::thread slow = Slow(flights, "a.test");
  Result<LayerFlights::Staged> joined = LayerFlights::Staged();
  std::thread joiner(
      [&] { joined = flights.Get({"d", "b.test"}, {}, NotThere, [this] { return Make(); }); });
  std::this_thread::sleep_for(50ms);
  Go();
  slow.join();
  joiner.join();
  ASSERT_TRUE(slow_ && joined && *slow_);
  EXPECT_EQ(*joined, *slow_);
}

TEST_F(LayerFlightsTest, AWaitIsCancelledInEitherHalf) {
  for (const auto patience : {std::chrono::milliseconds(60s), 0ms}) {
    LayerFlights flights(patience);
    begun_ = go_ = false;
    std::thread slow = Slow(flights, "a.test");
    std::stop_source stop;
    Result<LayerFlights::Staged> joined = LayerFlights::Staged();
    std::thread joiner([&] {
      joined = flights.Get({"d", "a.test"}, stop.get_token(), NotThere, [this] { return Make(); });
    });
    std::this_thread::sleep_for(50ms);
    stop.request_stop();
    joiner.join();
    ASSERT_FALSE(joined);
    EXPECT_EQ(joined.error().code(), Code::kCancelled);
    EXPECT_THAT(joined.error().message(), HasSubstr("layer d"));
    Go();
    slow.join();
  }
}

}  // namespace
}  // namespace berth::image
