// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <thread>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/result.h"
#include "base/rollback.h"
#include "base/strings.h"

namespace berth {
namespace {

Result<int> Fails() { return ErrnoError("0.log", ENOENT); }
Result<int> Outer() { return TRY(Fails(), "open log") + 1; }

TEST(ResultTest, ContextReadsOutermostFirstAndErrnoIsKept) {
  Result<int> r = Outer();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().message(), "open log: 0.log: No such file or directory");
  EXPECT_EQ(r.error().code(), Code::kNotFound);
  EXPECT_EQ(r.error().sys_errno(), ENOENT);
  EXPECT_NE(std::string_view(r.error().file()).find("base_test.cc"), std::string_view::npos);
}

TEST(ResultTest, TryYieldsMoveOnlyValues) {
  auto make = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(7); };
  auto use = [&]() -> Result<int> {
    std::unique_ptr<int> p = TRY(make());
    return *p;
  };
  EXPECT_EQ(*use(), 7);
}

TEST(ErrorTest, CloneIsIndependent) {
  Error a(Code::kAborted, "one");
  Error b = a.Clone();
  b = std::move(b).Wrap("two").WithCode(Code::kInternal);
  EXPECT_EQ(a.message(), "one");
  EXPECT_EQ(a.code(), Code::kAborted);
  EXPECT_EQ(b.message(), "two: one");
  EXPECT_EQ(CodeName(b.code()), "Internal");
}

TEST(RollbackTest, RunsAllNewestFirstEvenWhenOneFails) {
  std::string order;
  Rollback undo;
  undo.Add("a", [&]() -> Result<> {
    order += 'a';
    return Ok();
  });
  undo.Add("b", [&]() -> Result<> {
    order += 'b';
    return Error(Code::kInternal, "busy");
  });
  undo.Add("c", [&]() -> Result<> {
    order += 'c';
    return Ok();
  });
  auto failures = undo.Run();
  EXPECT_EQ(order, "cba");
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].step, "b");
  EXPECT_EQ(failures[0].error.message(), "busy");
  EXPECT_TRUE(undo.empty());
}

TEST(RollbackTest, ScopeEndRunsUnlessCommitted) {
  int runs = 0;
  auto step = [&]() -> Result<> {
    ++runs;
    return Ok();
  };
  {
    Rollback undo;
    undo.Add("x", step);
  }
  EXPECT_EQ(runs, 1);
  {
    Rollback undo;
    undo.Add("x", step);
    undo.Commit();
  }
  EXPECT_EQ(runs, 1);
}

TEST(StringsTest, ParseIntTakesWholeBoundedNumbersOnly) {
  EXPECT_EQ(*ParseInt("0", 0, 10, "n"), 0);
  EXPECT_EQ(*ParseInt("4294967295", 0, 4294967295, "n"), 4294967295);
  for (const char* bad : {"", " 1", "1 ", "+1", "-1", "1e3", "0x0", "11", "99999999999999999999"}) {
    Result<int64_t> r = ParseInt(bad, 0, 10, "uid");
    ASSERT_FALSE(r) << bad;
    EXPECT_EQ(r.error().code(), Code::kInvalidArgument);
    EXPECT_NE(r.error().message().find("uid: "), std::string::npos);
  }
}

TEST(StringsTest, IdsAreSixtyFourHexAndDiffer) {
  std::string a = *NewId();
  EXPECT_TRUE(IsValidId(a)) << a;
  EXPECT_NE(a, *NewId());
  EXPECT_FALSE(IsValidId("../" + a.substr(3)));
  EXPECT_FALSE(IsValidId(a.substr(1)));
}

TEST(StringsTest, SplitJoinTrimQuote) {
  EXPECT_EQ(Split("a,b,,c", ',').size(), 4U);
  EXPECT_EQ(Split("", ',').size(), 1U);
  EXPECT_EQ(Join({"a", "b"}, ", "), "a, b");
  EXPECT_EQ(TrimSpace(" \t x y\n"), "x y");
  EXPECT_EQ(Quote("a\n\"\x01"), "\"a\\n\\\"\\x01\"");
  EXPECT_EQ(Quote("abcdef", 3), "\"abc...\"");
  EXPECT_EQ(StrCat("n=", 42U, ' ', int64_t{-7}, '/', std::string("s")), "n=42 -7/s");
}

TEST(StringsTest, ToValidUtf8KeepsWhatIsValidAndReplacesTheRest) {
  EXPECT_EQ(ToValidUtf8("a\xc3\xa4\xf0\x9f\x98\x80z"), "a\xc3\xa4\xf0\x9f\x98\x80z");
  EXPECT_EQ(ToValidUtf8("\xff\xc3"), "??");
  EXPECT_EQ(ToValidUtf8("\xc0\xaf"), "??");            // overlong
  EXPECT_EQ(ToValidUtf8("\xed\xa0\x80"), "???");       // surrogate
  EXPECT_EQ(ToValidUtf8("\xf4\x90\x80\x80"), "????");  // beyond U+10FFFF
}

TEST(GuardedTest, WaitSeesAChangeOfAnotherThread) {
  Guarded<int> value(0);
  std::thread writer([&] {
    *value.Lock() = 5;
    value.NotifyAll();
  });
  auto locked = value.Lock();
  value.Wait(locked, [](int v) { return v == 5; });
  EXPECT_EQ(*locked, 5);
  EXPECT_FALSE(value.WaitFor(locked, std::chrono::milliseconds(1), [](int v) { return v == 6; }));
  {
    auto moved = std::move(locked);
  }
  writer.join();
}

TEST(ClockTest, ManualClockMovesOnlyWhenTold) {
  ManualClock clock;
  auto wall = clock.WallNanos();
  auto mono = clock.Monotonic();
  clock.Advance(std::chrono::seconds(2));
  EXPECT_EQ(clock.WallNanos() - wall, 2'000'000'000);
  EXPECT_EQ(clock.Monotonic() - mono, std::chrono::seconds(2));
  EXPECT_GT(SystemClock().WallNanos(), 1'600'000'000'000'000'000);
}

}  // namespace
}  // namespace berth
