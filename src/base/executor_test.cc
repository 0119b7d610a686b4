// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <gtest/gtest.h>

#include <atomic>

namespace berth {
namespace {

TEST(ExecutorTest, RunsEverythingItAcceptedBeforeItEnds) {
  std::atomic<int> ran{0};
  {
    Executor executor({.name = "t", .max_threads = 3, .max_queue = 1000});
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(executor.Submit([&] { ++ran; }));
  }
  EXPECT_EQ(ran, 500);
}

TEST(ExecutorTest, RefusesBeyondThreadsAndQueue) {
  std::atomic<bool> go{false};
  Executor executor({.name = "tiny", .max_threads = 1, .max_queue = 1});
  auto block = [&] {
    while (!go) std::this_thread::yield();
  };
  ASSERT_TRUE(executor.Submit(block));
  while (executor.Submit(block)) {
  }
  Result<> refused = executor.Submit(block);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_NE(refused.error().message().find("tiny: "), std::string::npos);
  go = true;
}

TEST(ExecutorTest, IdleThreadsLeave) {
  Executor executor({.name = "t", .max_threads = 2, .idle_time = std::chrono::milliseconds(5)});
  ASSERT_TRUE(executor.Submit([] {}));
  for (int i = 0; i < 2000 && executor.threads() != 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(executor.threads(), 0U);
}

TEST(ExecutorTest, OneTaskThatThrowsDoesNotEndTheThread) {
  std::atomic<bool> ran{false};
  {
    Executor executor({.name = "t", .max_threads = 1});
    ASSERT_TRUE(executor.Submit([] { throw std::runtime_error("x"); }));
    ASSERT_TRUE(executor.Submit([&] { ran = true; }));
  }
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace berth
