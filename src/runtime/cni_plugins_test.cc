// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_plugins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"
#include "os/dir_fd.h"
#include "os/testing/leak_check.h"

namespace berth::runtime {
namespace {

using ::testing::HasSubstr;

class CniPluginsTest : public ::testing::Test {
 protected:
  CniPlugins Plugins() const {
    CniPlugins::Options options;
    options.bin_dirs = {StrCat(temp_.path(), "/missing"), temp_.path()};
    options.require_root_owner = ::geteuid() == 0;
    return CniPlugins(options);
  }
  void ExpectRefused(std::string_view type, Code code, std::string_view why) const {
    Result<std::string> found = Plugins().Find(type);
    ASSERT_FALSE(found) << type;
    EXPECT_EQ(found.error().code(), code) << type;
    EXPECT_THAT(found.error().message(), HasSubstr(std::string(why)));
  }
  os::TempDir temp_ = std::move(*os::TempDir::Make());
};

TEST_F(CniPluginsTest, FindsAnExecutableAndALinkInTheSameDirectory) {
  const os::LeakCheck leaks;
  ASSERT_TRUE(temp_.dir().WriteFile("good", "#!/bin/sh\n", 0755));
  ASSERT_EQ(::symlink("good", StrCat(temp_.path(), "/alias").c_str()), 0);
  EXPECT_EQ(*Plugins().Find("good"), StrCat(temp_.path(), "/good"));
  EXPECT_EQ(*Plugins().Find("alias"), StrCat(temp_.path(), "/alias"));
  EXPECT_EQ(leaks.Diff(), "");
}

TEST_F(CniPluginsTest, RefusesWhatIsNoPlugin) {
  for (const char* type : {"../../bin/sh", "..", ".", "", "a/b", "/bin/sh", "a b"})
    ExpectRefused(type, Code::kInvalidArgument, "not a plain name");
  ExpectRefused("absent", Code::kFailedPrecondition, "cni plugin \"absent\": not found in ");
  ASSERT_EQ(::mkdir(StrCat(temp_.path(), "/dir").c_str(), 0755), 0);
  ExpectRefused("dir", Code::kFailedPrecondition, "no regular file");
  ASSERT_TRUE(temp_.dir().WriteFile("plain", "x", 0644));
  ExpectRefused("plain", Code::kFailedPrecondition, "not executable");
  ASSERT_TRUE(temp_.dir().WriteFile("open", "x", 0755));
  ASSERT_EQ(::chmod(StrCat(temp_.path(), "/open").c_str(), 0777), 0);
  ExpectRefused("open", Code::kFailedPrecondition, "written by everybody");
  ASSERT_EQ(::symlink("/bin/sh", StrCat(temp_.path(), "/out").c_str()), 0);
  ExpectRefused("out", Code::kFailedPrecondition, "link that leaves");
  if (::geteuid() != 0) return;
  ASSERT_TRUE(temp_.dir().WriteFile("foreign", "x", 0755));
  ASSERT_EQ(::chown(StrCat(temp_.path(), "/foreign").c_str(), 65534, 65534), 0);
  ExpectRefused("foreign", Code::kFailedPrecondition, "does not belong to root");
}

}  // namespace
}  // namespace berth::runtime
