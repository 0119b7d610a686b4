// SPDX-License-Identifier: Apache-2.0
#include "monitor/oom.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::monitor {
namespace {

constexpr std::string_view kSlice = "pod1.slice";

// A pod's slice with counters that the test writes. A file without content reads as a group does
// that is gone: nothing comes.
class OomTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(temp_.dir().MakeDir("pod1.slice", 0755));
    Counts(kSlice, 0);
  }

  void Counts(std::string_view group, int kills) {
    Write(group, StrCat("low 0\nhigh 0\nmax 9\noom 1\noom_kill ", kills, "\noom_group_kill 0\n"));
  }
  void Gone(std::string_view group) { Write(group, ""); }

  void Watch(OomWatch& watch, const std::string& name) {
    const std::string group = StrCat(kSlice, "/berth-", name, ".scope");
    ASSERT_TRUE(temp_.dir().MakeDir(group, 0755));
    Counts(group, 0);
    Result<> opened = watch.OpenCounters(temp_.path(), {{"", StrCat("/", group)}}, &ledger_);
    ASSERT_TRUE(opened) << opened.error().message();
  }
  static std::string Scope(const std::string& name) {
    return StrCat(kSlice, "/berth-", name, ".scope");
  }

  os::TempDir temp_ = *os::TempDir::Make();
  OomLedger ledger_;

 private:
  void Write(std::string_view group, const std::string& text) {
    os::Fd file = *temp_.dir().Open(StrCat(group, "/memory.events"),
                                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
    ASSERT_TRUE(os::WriteAll(file.get(), text));
  }
};

TEST_F(OomTest, GroupsOwnCounterSaysIt) {
  OomWatch a, b;
  Watch(a, "a");
  Watch(b, "b");
  Counts(Scope("a"), 2);
  Counts(kSlice, 2);
  EXPECT_TRUE(a.Killed(true));
  EXPECT_FALSE(b.Killed(true));
}

TEST_F(OomTest, GroupThatIsGoneWasKilledWhenTheSliceCountsMoreThanTheOthers) {
  OomWatch a, b;
  Watch(a, "a");
  Watch(b, "b");
  Counts(Scope("a"), 2);
  Gone(Scope("b"));
  Counts(kSlice, 3);
  EXPECT_TRUE(b.Killed(true));
  EXPECT_TRUE(a.Killed(false));
}

TEST_F(OomTest, GroupThatIsGoneWasNotKilledWhenTheOthersExplainTheSlice) {
  OomWatch a, b;
  Watch(a, "a");
  Watch(b, "b");
  Counts(Scope("a"), 2);
  Gone(Scope("b"));
  Counts(kSlice, 2);
  EXPECT_FALSE(b.Killed(true));
}

TEST_F(OomTest, OnlyWhatSigkillEndedCanHaveBeenKilled) {
  OomWatch a;
  Watch(a, "a");
  Gone(Scope("a"));
  Counts(kSlice, 1);
  EXPECT_FALSE(a.Killed(false));
}

TEST_F(OomTest, KillsOfOneContainerAreNotCountedForTheNext) {
  {
    OomWatch a;
    Watch(a, "a");
    Gone(Scope("a"));
    Counts(kSlice, 7);  // memory.oom.group: all of its processes
    EXPECT_TRUE(a.Killed(true));
  }
  OomWatch b;
  Watch(b, "b");
  Gone(Scope("b"));
  EXPECT_FALSE(b.Killed(true));
}

TEST_F(OomTest, KillsAfterTheOneThatWasSeenAreTheSameContainers) {
  {
    OomWatch a;
    Watch(a, "a");
    Counts(Scope("a"), 1);
    Counts(kSlice, 1);
    EXPECT_TRUE(a.Look());
    Gone(Scope("a"));
    Counts(kSlice, 3);
    EXPECT_TRUE(a.Killed(true));
  }
  OomWatch b;
  Watch(b, "b");
  Gone(Scope("b"));
  EXPECT_FALSE(b.Killed(true));
}

TEST_F(OomTest, TwoThatAreGoneShareTheKills) {
  OomWatch a, b;
  Watch(a, "a");
  Watch(b, "b");
  Gone(Scope("a"));
  Gone(Scope("b"));
  Counts(kSlice, 2);
  EXPECT_TRUE(a.Killed(true));
  EXPECT_TRUE(b.Killed(true));
}

TEST_F(OomTest, KillsBeforeAContainerBeganAreNotItsOwn) {
  Counts(kSlice, 4);  // of a container that an earlier monitor had
  OomWatch a;
  Watch(a, "a");
  Counts(kSlice, 5);  // elsewhere below the slice
  OomWatch b;
  Watch(b, "b");
  Gone(Scope("b"));
  EXPECT_FALSE(b.Killed(true));
}

TEST_F(OomTest, WithoutAScopeThereIsNoSliceToAsk) {
  ASSERT_TRUE(temp_.dir().MakeDir("pod1.slice/c", 0755));
  Counts("pod1.slice/c", 0);
  OomWatch c;
  ASSERT_TRUE(c.OpenCounters(temp_.path(), {{"", "/pod1.slice/c"}}, &ledger_));
  Gone("pod1.slice/c");
  Counts(kSlice, 1);
  EXPECT_FALSE(c.Killed(true));
}

TEST(Oom, AboveScope) {
  EXPECT_EQ(AboveScope("/a.slice/a-b.slice/berth-c.scope"), "/a.slice/a-b.slice");
  EXPECT_EQ(AboveScope("/a.slice/berth-c.scope/container"), "/a.slice");
  EXPECT_EQ(AboveScope("/kubepods/pod1/c"), "");
  EXPECT_EQ(AboveScope("/"), "");
  EXPECT_EQ(AboveScope(""), "");
}

}  // namespace
}  // namespace berth::monitor
