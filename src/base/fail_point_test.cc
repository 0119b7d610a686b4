// SPDX-License-Identifier: Apache-2.0
#include "base/fail_point.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "base/strings.h"

namespace berth {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

Result<int> Step(int value) { return FAIL_STEP("test.step", Result<int>(value)); }
Result<> Place() { return FAIL_POINT("test.place"); }

class FailPointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-fail-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override {
    const int fd = internal::fail_points_dir.exchange(-1);
    if (fd >= 0) ::close(fd);
    for (const char* name : {"reached", "test.place", "test.step.before", "test.step.after"})
      ::unlink(StrCat(dir_, "/", name).c_str());
    ::rmdir(dir_.c_str());
  }
  void Arm(const std::string& name, const std::string& action) {
    const int fd = ::open(StrCat(dir_, "/", name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::write(fd, action.data(), action.size()), static_cast<ssize_t>(action.size()));
    ::close(fd);
  }
  std::string Read(const std::string& name) {
    char buffer[4096];
    const int fd = ::open(StrCat(dir_, "/", name).c_str(), O_RDONLY);
    if (fd < 0) return "";
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    ::close(fd);
    return {buffer, n > 0 ? static_cast<size_t>(n) : 0};
  }
  std::string dir_;
};

TEST_F(FailPointTest, DoesNothingUnlessArmed) {
  Arm("test.place", "error");
  EXPECT_TRUE(Place());
  EXPECT_EQ(Read("test.place"), "error");
}

TEST_F(FailPointTest, NamesAreKnown) {
  const std::vector<std::string> names = FailPointNames();
  EXPECT_THAT(names, Contains("test.place"));
  EXPECT_THAT(names, Contains("test.step.before"));
  EXPECT_THAT(names, Contains("test.step.after"));
}

TEST_F(FailPointTest, ErrorHappensOnce) {
  ASSERT_TRUE(ArmFailPoints(dir_));
  Arm("test.place", "error\n");
  Result<> first = Place();
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code(), Code::kInternal);
  EXPECT_EQ(first.error().message(), "fail point test.place");
  EXPECT_TRUE(Place());
  const std::string line = StrCat(::getpid(), " test.place\n");
  EXPECT_EQ(Read("reached"), line + line);
}

TEST_F(FailPointTest, BeforeAStepItIsNotDone) {
  ASSERT_TRUE(ArmFailPoints(dir_));
  Arm("test.step.before", "error");
  int done = 0;
  auto step = [&]() -> Result<int> {
    ++done;
    return Step(7);
  };
  EXPECT_EQ(step().error().message(), "fail point test.step.before");
  Arm("test.step.after", "errno 28");
  Result<int> after = step();
  ASSERT_FALSE(after);
  EXPECT_EQ(after.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(after.error().message(), "fail point test.step.after: No space left on device");
  EXPECT_EQ(*step(), 7);
  EXPECT_EQ(done, 3);
}

TEST_F(FailPointTest, CountsDown) {
  ASSERT_TRUE(ArmFailPoints(dir_));
  Arm("test.place", "error@3");
  EXPECT_TRUE(Place());
  EXPECT_TRUE(Place());
  EXPECT_EQ(Read("test.place"), "error@1");
  EXPECT_FALSE(Place());
  EXPECT_TRUE(Place());
}

TEST_F(FailPointTest, Delays) {
  ASSERT_TRUE(ArmFailPoints(dir_));
  Arm("test.place", "delay 30");
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(Place());
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(30));
}

TEST_F(FailPointTest, KillsTheProcess) {
  ASSERT_TRUE(ArmFailPoints(dir_));
  Arm("test.place", "kill");
  EXPECT_EXIT((void)Place(), testing::KilledBySignal(SIGKILL), "");
  EXPECT_TRUE(Place());  // the file went with the first
}

TEST_F(FailPointTest, UnknownActionsAreErrors) {
  ASSERT_TRUE(ArmFailPoints(dir_));
  for (const char* action :
       {"", "kil", "kill@0", "kill@x", "errno", "errno 0", "delay -1", "delay x"}) {
    Arm("test.place", action);
    Result<> reached = Place();
    ASSERT_FALSE(reached) << action;
    EXPECT_EQ(reached.error().code(), Code::kInvalidArgument) << action;
    EXPECT_THAT(reached.error().message(), HasSubstr("fail point"));
  }
}

TEST_F(FailPointTest, DirectoryMustBelongToItsUserAlone) {
  ASSERT_EQ(::chmod(dir_.c_str(), 0777), 0);
  Result<> armed = ArmFailPoints(dir_);
  ASSERT_FALSE(armed);
  EXPECT_EQ(armed.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(armed.error().message(), HasSubstr("others may write to it"));
  Result<> missing = ArmFailPoints(dir_ + "/none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace berth
