// SPDX-License-Identifier: Apache-2.0
#include "os/event_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <thread>

#include "os/dir_fd.h"
#include "os/testing/leak_check.h"

namespace berth::os {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using SteadyClock = std::chrono::steady_clock;

class EventLoopTest : public ::testing::Test {
 protected:
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Make();
};

TEST(EventLoopLeakTest, NothingIsLeft) {
  LeakCheck leaks;
  {
    auto loop = *EventLoop::Make();
    Pipe pipe = *MakePipe();
    ASSERT_TRUE(loop->Watch(pipe.read.get(), EPOLLIN, [](uint32_t) {}));
    loop->After(std::chrono::hours(1), [] {});
    loop->Post([] {});
  }
  EXPECT_EQ(leaks.Diff(), "");
}

TEST_F(EventLoopTest, ReadableFdCallsBackUntilUnwatched) {
  Pipe pipe = *MakePipe();
  int calls = 0;
  ASSERT_TRUE(loop_->Watch(pipe.read.get(), EPOLLIN, [&](uint32_t events) {
    EXPECT_EQ(events & EPOLLIN, unsigned{EPOLLIN});
    ++calls;
  }));
  ASSERT_TRUE(loop_->RunOnce(nanoseconds(0)));
  EXPECT_EQ(calls, 0);
  ASSERT_TRUE(WriteAll(pipe.write.get(), "x"));
  ASSERT_TRUE(loop_->RunOnce(nanoseconds(0)));
  ASSERT_TRUE(loop_->RunOnce(nanoseconds(0)));
  EXPECT_EQ(calls, 2);
  loop_->Unwatch(pipe.read.get());
  ASSERT_TRUE(loop_->RunOnce(nanoseconds(0)));
  EXPECT_EQ(calls, 2);
}

TEST_F(EventLoopTest, WatchingTwiceOrNothingIsAnError) {
  Pipe pipe = *MakePipe();
  ASSERT_TRUE(loop_->Watch(pipe.read.get(), EPOLLIN, [](uint32_t) {}));
  EXPECT_EQ(loop_->Watch(pipe.read.get(), EPOLLIN, [](uint32_t) {}).error().code(),
            Code::kAlreadyExists);
  EXPECT_EQ(loop_->Watch(-1, EPOLLIN, [](uint32_t) {}).error().sys_errno(), EBADF);
  EXPECT_EQ(loop_->Rewatch(pipe.write.get(), EPOLLIN).error().code(), Code::kNotFound);
}

TEST_F(EventLoopTest, RewatchChangesTheEvents) {
  Pipe pipe = *MakePipe();
  int calls = 0;
  ASSERT_TRUE(loop_->Watch(pipe.write.get(), 0, [&](uint32_t) { ++calls; }));
  ASSERT_TRUE(loop_->RunOnce(nanoseconds(0)));
  EXPECT_EQ(calls, 0);
  ASSERT_TRUE(loop_->Rewatch(pipe.write.get(), EPOLLOUT));
  ASSERT_TRUE(loop_->RunOnce(nanoseconds(0)));
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, CallbackMayUnwatchItselfAndOthersOfTheSameRound) {
  Pipe a = *MakePipe(), b = *MakePipe();
  int calls = 0;
  auto once = [&](uint32_t) {
    ++calls;
    loop_->Unwatch(a.read.get());
    loop_->Unwatch(b.read.get());
  };
  ASSERT_TRUE(loop_->Watch(a.read.get(), EPOLLIN, once));
  ASSERT_TRUE(loop_->Watch(b.read.get(), EPOLLIN, once));
  ASSERT_TRUE(WriteAll(a.write.get(), "x"));
  ASSERT_TRUE(WriteAll(b.write.get(), "x"));
  ASSERT_TRUE(loop_->RunOnce(nanoseconds(0)));
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, StaleEventDoesNotReachTheNextUserOfTheNumber) {
  Pipe a = *MakePipe(), b = *MakePipe(), quiet = *MakePipe();
  int wrong = 0, calls = 0;
  auto replace = [&](int other) {
    return [&, other](uint32_t) {
      if (++calls > 1) return;
      loop_->Unwatch(other);
      ASSERT_GE(::dup3(quiet.read.get(), other, O_CLOEXEC), 0);  // not readable
      ASSERT_TRUE(loop_->Watch(other, EPOLLIN, [&](uint32_t) { ++wrong; }));
    };
  };
  ASSERT_TRUE(loop_->Watch(a.read.get(), EPOLLIN, replace(b.read.get())));
  ASSERT_TRUE(loop_->Watch(b.read.get(), EPOLLIN, replace(a.read.get())));
  ASSERT_TRUE(WriteAll(a.write.get(), "x"));
  ASSERT_TRUE(WriteAll(b.write.get(), "x"));
  ASSERT_TRUE(loop_->RunOnce(nanoseconds(0)));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(wrong, 0);
}

TEST_F(EventLoopTest, TimersRunInOrderAndCancelledOnesDoNot) {
  std::string order;
  loop_->After(milliseconds(20), [&] { order += 'b'; });
  EventLoop::TimerId never = loop_->After(milliseconds(10), [&] { order += 'x'; });
  loop_->After(milliseconds(5), [&] { order += 'a'; });
  loop_->After(milliseconds(30), [&] {
    order += 'c';
    loop_->Stop();
  });
  loop_->Cancel(never);
  loop_->Cancel(12345);
  const auto start = SteadyClock::now();
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(order, "abc");
  EXPECT_GE(SteadyClock::now() - start, milliseconds(30));
}

TEST_F(EventLoopTest, TimerMayCancelOneThatIsDueAndStartAnother) {
  std::string order;
  EventLoop::TimerId second = 0;
  loop_->After(nanoseconds(0), [&] {
    order += '1';
    loop_->Cancel(second);
    loop_->After(nanoseconds(0), [&] { order += '3'; });
  });
  second = loop_->After(nanoseconds(0), [&] { order += '2'; });
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(loop_->RunOnce(milliseconds(1)));
  EXPECT_EQ(order, "13");
}

TEST_F(EventLoopTest, AVeryLongTimerNeitherFiresNorOverflows) {
  bool fired = false;
  loop_->After(nanoseconds::max(), [&] { fired = true; });
  ASSERT_TRUE(loop_->RunOnce(milliseconds(5)));
  EXPECT_FALSE(fired);
}

TEST_F(EventLoopTest, RunOnceWaitsNoLongerThanTold) {
  const auto start = SteadyClock::now();
  ASSERT_TRUE(loop_->RunOnce(milliseconds(20)));
  EXPECT_GE(SteadyClock::now() - start, milliseconds(19));
  EXPECT_LT(SteadyClock::now() - start, std::chrono::seconds(5));
}

TEST_F(EventLoopTest, PostedTasksRunOnTheLoopsThreadAndThoseAfterStopNever) {
  const auto self = std::this_thread::get_id();
  int ran = 0, late = 0;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i)
      loop_->Post([&] {
        EXPECT_EQ(std::this_thread::get_id(), self);
        ++ran;
      });
    loop_->Stop();
    loop_->Post([&] { ++late; });
  });
  ASSERT_TRUE(loop_->Run());
  other.join();
  ASSERT_TRUE(loop_->RunOnce(nanoseconds(0)));
  EXPECT_EQ(ran, 1000);
  EXPECT_EQ(late, 0);
}

TEST_F(EventLoopTest, HangUpIsReported) {
  Pipe pipe = *MakePipe();
  uint32_t seen = 0;
  ASSERT_TRUE(loop_->Watch(pipe.read.get(), EPOLLIN, [&](uint32_t events) { seen = events; }));
  pipe.write.Reset();
  ASSERT_TRUE(loop_->RunOnce(nanoseconds(0)));
  EXPECT_NE(seen & EPOLLHUP, 0U);
}

}  // namespace
}  // namespace berth::os
