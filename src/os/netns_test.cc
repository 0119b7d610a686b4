// SPDX-License-Identifier: Apache-2.0
#include "os/netns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "base/strings.h"
#include "os/mount.h"
#include "os/testing/leak_check.h"
#include "os/testing/private_mounts.h"

namespace berth::os {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class NetNsTest : public ::testing::Test {
 protected:
  TempDir temp_ = *TempDir::Make();
  const std::string path_ = temp_.path() + "/netns";

  // Runs the test's body with pins in a private mount namespace.
  void WithPins(const std::function<void(NetNsPins&)>& body) {
    LeakCheck leaks;
    const std::string why = InPrivateMounts([&] {
      NetNsPins pins = *NetNsPins::Open(path_);
      body(pins);
    });
    if (!why.empty()) GTEST_SKIP() << why;
    EXPECT_EQ(leaks.Diff(), "");
  }
  static std::string SysctlNow(const char* path) {
    return *(*DirFd::OpenTrusted("/proc/sys/net")).ReadFile(path, 1000);
  }
};

Result<> ConnectToLoopback() {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return ErrnoError("connect");
  return Ok();
}

TEST_F(NetNsTest, PinnedNamespaceOutlivesItsThreadAndCanBeEntered) {
  WithPins([](NetNsPins& pins) {
    ASSERT_TRUE(pins.Create("one", [] { return BringLoopbackUp(); }));
    ASSERT_TRUE(pins.Create("two", {}));
    EXPECT_THAT(*pins.List(), UnorderedElementsAre("one", "two"));
    Result<Fd> one = pins.OpenNs("one");
    ASSERT_TRUE(one) << one.error().message();
    EXPECT_TRUE(RunInNetNs(one->get(), ConnectToLoopback));
    // In the other, lo is still down.
    Result<> down = RunInNetNs(pins.OpenNs("two")->get(), ConnectToLoopback);
    ASSERT_FALSE(down);
    EXPECT_EQ(down.error().sys_errno(), ENETUNREACH);
    one->Reset();
    for (int i = 0; i < 2; ++i)
      for (const char* name : {"one", "two"}) EXPECT_TRUE(pins.Remove(name));
    EXPECT_THAT(*pins.List(), IsEmpty());
    EXPECT_EQ(pins.OpenNs("one").error().code(), Code::kNotFound);
  });
}

TEST_F(NetNsTest, FailedSetupLeavesNothing) {
  WithPins([](NetNsPins& pins) {
    Result<> made =
        pins.Create("bad", []() -> Result<> { return Error(Code::kUnavailable, "no luck"); });
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code(), Code::kUnavailable);
    EXPECT_EQ(made.error().message(), "network namespace bad: no luck");
    EXPECT_THAT(*pins.List(), IsEmpty());
  });
}

TEST_F(NetNsTest, TakenNameIsAlreadyExistsAndStaysUntouched) {
  WithPins([](NetNsPins& pins) {
    ASSERT_TRUE(pins.Create("a", {}));
    EXPECT_EQ(pins.Create("a", {}).error().code(), Code::kAlreadyExists);
    EXPECT_TRUE(pins.OpenNs("a"));
    EXPECT_TRUE(pins.Remove("a"));
  });
}

TEST_F(NetNsTest, StaleFileIsListedNotOpenedAndRemoved) {
  WithPins([this](NetNsPins& pins) {
    ASSERT_TRUE((*DirFd::OpenTrusted(path_)).WriteFile("stale", "", 0600));
    EXPECT_THAT(*pins.List(), UnorderedElementsAre("stale"));
    Result<Fd> ns = pins.OpenNs("stale");
    ASSERT_FALSE(ns);
    EXPECT_EQ(ns.error().code(), Code::kNotFound);
    EXPECT_TRUE(pins.Remove("stale"));
    EXPECT_THAT(*pins.List(), IsEmpty());
  });
}

TEST_F(NetNsTest, DirectoryIsOneSharedMountHoweverOftenOpened) {
  WithPins([this](NetNsPins& pins) {
    ASSERT_TRUE(pins.Create("a", {}));
    NetNsPins again = *NetNsPins::Open(path_);
    EXPECT_TRUE(again.OpenNs("a"));
    EXPECT_EQ(again.PathOf("a"), path_ + "/a");
    DirFd self = *DirFd::OpenTrusted("/proc/thread-self");
    int mounts = 0;
    const std::string info = *self.ReadFile("mountinfo", 10U << 20);
    for (std::string_view line : Split(info, '\n')) {
      if (line.find(StrCat(" ", path_, " ")) == std::string_view::npos) continue;
      ++mounts;
      EXPECT_THAT(std::string(line), HasSubstr("shared:"));
    }
    EXPECT_EQ(mounts, 1);
    EXPECT_TRUE(again.Remove("a"));
  });
}

TEST_F(NetNsTest, NamesWithPathsAreRefused) {
  WithPins([](NetNsPins& pins) {
    for (const char* name : {"", ".", "..", "a/b", "/a"}) {
      EXPECT_EQ(pins.Create(name, {}).error().code(), Code::kInvalidArgument) << name;
      EXPECT_EQ(pins.Remove(name).error().code(), Code::kInvalidArgument) << name;
      EXPECT_EQ(pins.OpenNs(name).error().code(), Code::kInvalidArgument) << name;
    }
  });
}

TEST_F(NetNsTest, SysctlIsWrittenInTheNewNamespaceOnly) {
  WithPins([](NetNsPins& pins) {
    const std::string host = SysctlNow("ipv4/ip_default_ttl");
    ASSERT_TRUE(pins.Create("a", []() -> Result<> {
      TRY(WriteSysctl("net.ipv4.ip_default_ttl", "77"));
      TRY(WriteSysctl("net/ipv4/conf/lo/forwarding", "1"));
      return Ok();
    }));
    std::string inside;
    ASSERT_TRUE(RunInNetNs(pins.OpenNs("a")->get(), [&]() -> Result<> {
      // /proc/sys/net is seen by the thread that looks.
      inside = SysctlNow("ipv4/ip_default_ttl");
      return Ok();
    }));
    EXPECT_EQ(inside, "77\n");
    EXPECT_EQ(SysctlNow("ipv4/ip_default_ttl"), host);
    EXPECT_TRUE(pins.Remove("a"));
  });
}

TEST(SysctlTest, ImpossibleKeysAndValuesAreRefused) {
  for (const char* key : {"", ".", "net..x", "net/../x", "/net/ipv4", "net.ipv4.", "Net.x", "a b"})
    EXPECT_EQ(WriteSysctl(key, "1").error().code(), Code::kInvalidArgument) << key;
  EXPECT_EQ(WriteSysctl("net.x", "1\n2").error().code(), Code::kInvalidArgument);
  Result<> missing = WriteSysctl("net.no_such_thing", "1");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_THAT(missing.error().message(), HasSubstr("net.no_such_thing"));
}

TEST(RunInNetNsTest, NotANamespaceIsAnError) {
  Pipe pipe = *MakePipe();
  bool ran = false;
  Result<> result = RunInNetNs(pipe.read.get(), [&]() -> Result<> {
    ran = true;
    return Ok();
  });
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message(), HasSubstr("enter network namespace"));
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace berth::os
