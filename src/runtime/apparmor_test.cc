// SPDX-License-Identifier: Apache-2.0
#include "runtime/apparmor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::runtime {
namespace {

TEST(Apparmor, ProfilesOfTheKernelAreNames) {
  EXPECT_THAT(*ParseApparmorProfiles("a (enforce)\n/usr/bin/b c (complain)\n"),
              testing::ElementsAre("a", "/usr/bin/b c"));
  EXPECT_TRUE(ParseApparmorProfiles("")->empty());
  for (const char* bad : {"a", " (enforce)", "a (enforce"}) {
    Result<std::vector<std::string>> parsed = ParseApparmorProfiles(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_THAT(parsed.error().message(), testing::HasSubstr("malformed line"));
  }
}

// What the kernel makes of the policy can only be seen on one that has AppArmor.
TEST(Apparmor, ThePolicyIsGivenToTheParser) {
  os::TempDir temp = *os::TempDir::Make();
  const std::string parser = temp.path() + "/parser";
  ASSERT_TRUE(temp.dir().WriteFile(
      "parser",
      StrCat("#!/bin/sh\necho \"$@\" > ", temp.path(), "/args; cat > ", temp.path(), "/policy\n"),
      0755));
  Result<> loaded = LoadDefaultApparmorProfile(parser);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*temp.dir().ReadFile("args", 1000), "--replace --skip-cache\n");
  EXPECT_EQ(*temp.dir().ReadFile("policy", 1 << 16), DefaultApparmorPolicy());
  EXPECT_THAT(DefaultApparmorPolicy(), testing::HasSubstr("profile berth-default "));

  ASSERT_TRUE(temp.dir().WriteFile("parser", "#!/bin/sh\necho 'syntax error' >&2; exit 1\n", 0755));
  loaded = LoadDefaultApparmorProfile(parser);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(loaded.error().message(), testing::HasSubstr("syntax error"));
  EXPECT_EQ(LoadDefaultApparmorProfile(temp.path() + "/none").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace berth::runtime
