// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci_handlers.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/strings.h"
#include "os/dir_fd.h"
#include "runtime/sandbox_files.h"

namespace berth::runtime {
namespace {

TEST(VersionWarning, NamesWhatIsTooOld) {
  for (const char* line : {"runc version 1.1.5+ds1", "runc version 1.2.7", "runc version 1.3.2",
                           "crun version 1.8.1", "crun version 1.27", "runc version 0.1"})
    EXPECT_NE(VersionWarning(line).find("CVE"), std::string::npos) << line;
  for (const char* line :
       {"runc version 1.2.8", "runc version 1.3.3", "runc version 1.4.0-rc.1", "crun version 1.28",
        "crun version 2.0", "runsc version release-2024", "", "something"})
    EXPECT_EQ(VersionWarning(line), "") << line;
}

TEST(CanRecursiveReadOnly, IsAskedOfTheRuntimeAndKnownOfCrun) {
  EXPECT_TRUE(CanRecursiveReadOnly("runc version 1.1.5", R"({"mountOptions":["ro","rro"]})"));
  EXPECT_FALSE(CanRecursiveReadOnly("runc version 1.1.5", R"({"mountOptions":["ro"]})"));
  EXPECT_FALSE(CanRecursiveReadOnly("runc version 1.0.3", ""));
  EXPECT_TRUE(CanRecursiveReadOnly("crun version 1.8.1", ""));
  EXPECT_FALSE(CanRecursiveReadOnly("crun version 1.3", ""));
  for (const char* bad : {"{", "[]", R"({"mountOptions":"rro"})", R"({"mountOptions":{"rro":1}})"})
    EXPECT_FALSE(CanRecursiveReadOnly("runsc version 1", bad)) << bad;
}

TEST(CanUserNs, IsAskedOfTheRuntimeAndKnownOfCrun) {
  EXPECT_TRUE(CanUserNs("runc version 1.1.5", R"({"linux":{"namespaces":["mount","user"]}})"));
  EXPECT_FALSE(CanUserNs("runsc version 1", R"({"linux":{"namespaces":["mount"]}})"));
  EXPECT_TRUE(CanUserNs("crun version 1.8.1", ""));
  for (const char* bad : {"", "{", R"({"linux":[]})", R"({"linux":{"namespaces":{"user":1}}})"})
    EXPECT_FALSE(CanUserNs("kata version 3", bad)) << bad;
}

TEST(OciHandlers, KeepsABrokenHandlerWithAWarning) {
  Result<OciHandlers> made =
      OciHandlers::Make({{"a", "/bin/true", {}, "/r/a"}, {"b", "/nonexistent", {}, "/r/b"}}, "a");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->infos()[0].warning, "");
  EXPECT_TRUE(made->infos()[0].is_default);
  EXPECT_NE(made->infos()[1].warning, "");
  EXPECT_EQ((*made->Resolve(""))->name, "a");
  EXPECT_EQ((*made->Resolve("b"))->root, "/r/b");
  EXPECT_EQ(made->Resolve("c").error().code(), Code::kNotFound);
}

// Each takes 0.3 s for each question; one after the other that would be 1.8 s.
TEST(OciHandlers, AsksAllAtOnceAndKeepsTheirOrder) {
  auto temp = os::TempDir::Make();
  ASSERT_TRUE(temp);
  std::vector<OciHandler> handlers;
  for (const std::string name : {"a", "b", "c"}) {
    ASSERT_TRUE(temp->dir().WriteFile(
        name, StrCat("#!/bin/sh\nsleep 0.3\necho runsc version ", name, "\n"), 0755));
    handlers.push_back({name, StrCat(temp->path(), "/", name), {}, "/r/" + name});
  }
  const auto began = std::chrono::steady_clock::now();
  auto made = OciHandlers::Make(handlers, "b");
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(1500));
  ASSERT_TRUE(made) << made.error().message();
  ASSERT_EQ(made->infos().size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(made->infos()[i].name, handlers[i].name);
    EXPECT_EQ(made->infos()[i].version, StrCat("runsc version ", handlers[i].name));
    EXPECT_EQ(made->infos()[i].is_default, i == 1);
  }
}

TEST(OciHandlers, RefusesMistakesOfTheConfiguration) {
  EXPECT_FALSE(OciHandlers::Make({}, "a"));
  EXPECT_FALSE(OciHandlers::Make({{"a", "true", {}, "/r"}}, "a"));
  EXPECT_FALSE(
      OciHandlers::Make({{"a", "/bin/true", {}, "/r"}, {"a", "/bin/true", {}, "/r"}}, "a"));
  EXPECT_FALSE(OciHandlers::Make({{"a", "/bin/true", {}, "/r"}}, "b"));
}

class SandboxFilesTest : public testing::Test {
 protected:
  os::TempDir pod_ = *os::TempDir::Make();
  os::TempDir etc_ = *os::TempDir::Make();
  std::string Read(const char* name) { return *pod_.dir().ReadFile(name, 4096); }
};

TEST_F(SandboxFilesTest, PodOfItsOwnGetsItsOwnFiles) {
  SandboxSpec spec;
  spec.hostname = "web-0";
  spec.resolv_conf = "nameserver 10.0.0.10\n";
  ASSERT_TRUE(WriteSandboxFiles(pod_.dir(), spec, etc_.path()));
  EXPECT_EQ(Read("resolv.conf"), "nameserver 10.0.0.10\n");
  EXPECT_EQ(Read("hostname"), "web-0\n");
  EXPECT_NE(Read("hosts").find("127.0.0.1\tlocalhost\n"), std::string::npos);
}

TEST_F(SandboxFilesTest, HostPodGetsTheHostsFilesEvenThroughALink) {
  ASSERT_TRUE(etc_.dir().WriteFile("real", "nameserver 1.1.1.1\n", 0644));
  ASSERT_EQ(::symlinkat("real", etc_.dir().get(), "resolv.conf"), 0);
  ASSERT_TRUE(etc_.dir().WriteFile("hosts", "10.0.0.1 node\n", 0644));
  SandboxSpec spec;
  spec.new_uts_namespace = false;
  ASSERT_TRUE(WriteSandboxFiles(pod_.dir(), spec, etc_.path()));
  EXPECT_EQ(Read("resolv.conf"), "nameserver 1.1.1.1\n");
  EXPECT_EQ(Read("hosts"), "10.0.0.1 node\n");
  EXPECT_EQ(Read("hostname"), "");
}

}  // namespace
}  // namespace berth::runtime
