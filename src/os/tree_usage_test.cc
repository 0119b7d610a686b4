// SPDX-License-Identifier: Apache-2.0
#include "os/tree_usage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/strings.h"
#include "os/testing/leak_check.h"

namespace berth::os {
namespace {

uint64_t BlocksOf(const DirFd& dir, const std::string& name) {
  struct stat st{};
  EXPECT_EQ(::fstatat(dir.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW), 0);
  return static_cast<uint64_t>(st.st_blocks) * 512;
}

TEST(TreeUsage, CountsBlocksAndInodesAsDuDoes) {
  TempDir temp = *TempDir::Make();
  const DirFd& dir = temp.dir();
  ASSERT_TRUE(dir.MakeDir("sub", 0755));
  ASSERT_TRUE(dir.MakeDir("sub/deep", 0755));
  ASSERT_TRUE(dir.WriteFile("sub/deep/file", std::string(100'000, 'x'), 0644));
  ASSERT_EQ(::linkat(dir.get(), "sub/deep/file", dir.get(), "again", 0), 0);
  ASSERT_EQ(::symlinkat("/etc", dir.get(), "out"), 0);
  ASSERT_EQ(::mkfifoat(dir.get(), "fifo", 0600), 0);
  const LeakCheck leaks;
  auto usage = MeasureTree(dir, 100);
  ASSERT_TRUE(usage) << usage.error().message();
  EXPECT_EQ(usage->inodes, 6U);  // the top, two directories, one file, a link, a FIFO
  EXPECT_GE(usage->bytes, 100'000U);
  EXPECT_EQ(usage->bytes, BlocksOf(dir, ".") + BlocksOf(dir, "sub") + BlocksOf(dir, "sub/deep") +
                              BlocksOf(dir, "sub/deep/file") + BlocksOf(dir, "out"));
  auto again = MeasureTree(dir, 100);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->inodes, 6U);
  EXPECT_EQ(leaks.Diff(), "");
}

TEST(TreeUsage, AChainOfDirectoriesHoldsFewDescriptors) {
  TempDir temp = *TempDir::Make();
  DirFd at = std::move(*temp.dir().Duplicate());
  constexpr int kLevels = 3000;
  for (int i = 0; i < kLevels; ++i) at = std::move(*at.MakeDir("d", 0755));
  auto usage = MeasureTree(temp.dir(), 10'000);
  ASSERT_TRUE(usage) << usage.error().message();
  EXPECT_EQ(usage->inodes, 1U + kLevels);
}

TEST(TreeUsage, MoreThanTheLimitIsAnError) {
  TempDir temp = *TempDir::Make();
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(temp.dir().WriteFile(name, "", 0644));
  const LeakCheck leaks;
  EXPECT_TRUE(MeasureTree(temp.dir(), 4));
  auto usage = MeasureTree(temp.dir(), 3);
  ASSERT_FALSE(usage);
  EXPECT_EQ(usage.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(usage.error().message(), "more than 3 files");
  EXPECT_EQ(leaks.Diff(), "");
}

}  // namespace
}  // namespace berth::os
