// SPDX-License-Identifier: Apache-2.0
// host-local on a directory of the test's own: what lies there after each call, damaged and foreign files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "base/guarded.h"
#include "base/strings.h"
#include "cni/plugin.h"
#include "oci/testing/expect_error.h"
#include "os/dir_fd.h"

namespace berth::cni {
namespace {

class HostLocalTest : public ::testing::Test {
 protected:
  Request Of(const std::string& id,
             const std::string& ranges = R"([{"subnet":"10.1.2.0/29"}])") const {
    Request request;
    request.command = "ADD";
    request.container_id = id;
    request.ifname = "eth0";
    request.network = "net";
    request.config =
        StrCat(R"({"cniVersion":"1.1.0","name":"net","ipam":{"type":"host-local","dataDir":")",
               temp_.path(), R"(","ranges":[)", ranges, "]}}");
    return request;
  }
  std::string AddressOf(const Request& request) const {
    Result<Outcome> outcome = kHostLocal.add(request);
    if (!outcome) return outcome.error().message();
    std::string out;
    for (const IpConfig& ip : outcome->ips)
      out += StrCat(out.empty() ? "" : " ", Format(ip.address));
    return out;
  }
  std::string File(const std::string& name) const {
    Result<std::string> text = temp_.dir().ReadFile("net/" + name, 1024);
    return text ? *text : "-";
  }
  void Write(const std::string& name, const std::string& text) const {
    ASSERT_TRUE(temp_.dir().WriteFile("net/" + name, text, 0600));
  }
  std::set<std::string> Files() const {
    const std::vector<std::string> names = *(*temp_.dir().OpenDir("net")).List();
    return {names.begin(), names.end()};
  }
  os::TempDir temp_ = std::move(*os::TempDir::Make());
};

TEST_F(HostLocalTest, WritesTheReferencesFormat) {
  EXPECT_EQ(AddressOf(Of("one", R"([{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64"}])")),
            "10.1.2.2/24 2001:db8:1::2/64");
  EXPECT_EQ(File("10.1.2.2"), "one\r\neth0");
  EXPECT_EQ(File("2001:db8:1::2"), "one\r\neth0");
  EXPECT_EQ(File("last_reserved_ip.0"), "10.1.2.2");
  EXPECT_EQ(File("last_reserved_ip.1"), "2001:db8:1::2");
  EXPECT_TRUE(kHostLocal.check(Of("one", R"([{"subnet":"10.1.2.0/24"}])")));
  EXPECT_TRUE(kHostLocal.del(Of("one")));
  EXPECT_EQ(Files(), (std::set<std::string>{"last_reserved_ip.0", "last_reserved_ip.1", "lock"}));
  EXPECT_TRUE(kHostLocal.del(Of("one"))) << "again";
  EXPECT_FAILS(kHostLocal.check(Of("one")), Code::kInternal,
               "host-local: Failed to find address added by container one");
}

TEST_F(HostLocalTest, DelNeedsOnlyTheDirectory) {
  EXPECT_EQ(AddressOf(Of("one")), "10.1.2.2/29");
  Request request = Of("one", R"([{"subnet":"10.1.2.1/29"}])");
  request.args = "X=1";
  EXPECT_FALSE(kHostLocal.add(request));
  ASSERT_TRUE(kHostLocal.del(request));
  EXPECT_EQ(File("10.1.2.2"), "-");
  for (const char* config : {R"({"name":"net"})", R"({"name":"net","ipam":"x"})",
                             R"({"name":"net","ipam":{"dataDir":5}})"}) {
    request.config = config;
    EXPECT_TRUE(kHostLocal.del(request)) << config;
  }
}

TEST_F(HostLocalTest, GcGoesOnAfterWhatCannotBeRemoved) {
  EXPECT_EQ(AddressOf(Of("one")), "10.1.2.2/29");
  ASSERT_TRUE(temp_.dir().MakeDir("net/10.1.2.1", 0700));
  ASSERT_TRUE(temp_.dir().WriteFile("net/10.1.2.1/x", "", 0600));
  EXPECT_EQ(AddressOf(Of("two")), "10.1.2.3/29");
  Request request = Of("gc");
  request.valid_attachments = std::vector<Attachment>();
  const Result<> done = kHostLocal.gc(request);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), ::testing::HasSubstr("release: "));
  EXPECT_EQ(File("10.1.2.2"), "-");
  EXPECT_EQ(File("10.1.2.3"), "-");
}

TEST_F(HostLocalTest, DelBeforeAnyAddMakesNothing) {
  EXPECT_TRUE(kHostLocal.del(Of("one")));
  EXPECT_FALSE(*temp_.dir().Exists("net"));
}

TEST_F(HostLocalTest, AnExhaustedSetGivesBackWhatOtherSetsGave) {
  const std::string two = R"([{"subnet":"10.1.2.0/24"}],[{"subnet":"10.2.0.0/30"}])";
  EXPECT_EQ(AddressOf(Of("one", two)), "10.1.2.2/24 10.2.0.2/30");
  EXPECT_EQ(
      AddressOf(Of("two", two)),
      "failed to allocate for range 1: no IP addresses available in range set: 10.2.0.1-10.2.0.2");
  EXPECT_EQ(File("10.1.2.3"), "-");
  EXPECT_EQ(File("10.1.2.2"), "one\r\neth0");
}

TEST_F(HostLocalTest, OneAttachmentIsNotGivenTwoAddresses) {
  EXPECT_EQ(AddressOf(Of("one")), "10.1.2.2/29");
  EXPECT_EQ(AddressOf(Of("one")),
            "failed to allocate for range 0: 10.1.2.2 has been allocated to one, duplicate "
            "allocation is not allowed");
  EXPECT_EQ(File("10.1.2.2"), "one\r\neth0") << "the first call's lease stays";
}

TEST_F(HostLocalTest, RequestedAddresses) {
  Request wanted = Of("one");
  wanted.args = "IP=10.1.2.5";
  EXPECT_EQ(AddressOf(wanted), "10.1.2.5/29");
  wanted.container_id = "two";
  EXPECT_EQ(AddressOf(wanted),
            "failed to allocate for range 0: requested IP address 10.1.2.5 is not available in "
            "range set 10.1.2.1-10.1.2.6");
  wanted.args = "IP=10.1.2.1";
  EXPECT_EQ(AddressOf(wanted),
            "failed to allocate for range 0: requested ip 10.1.2.1 is subnet's gateway");
  wanted.args = "IP=10.9.9.9";
  EXPECT_EQ(AddressOf(wanted), "failed to allocate all requested IPs: 10.9.9.9");
  EXPECT_EQ(Files(), (std::set<std::string>{"10.1.2.5", "last_reserved_ip.0", "lock"}));
}

TEST_F(HostLocalTest, LeasesOfOldPluginsAreKnownByTheirContainer) {
  ASSERT_TRUE(temp_.dir().MakeDir("net", 0755));
  Write("10.1.2.2", "old");
  EXPECT_TRUE(kHostLocal.check(Of("old")));
  EXPECT_TRUE(kHostLocal.del(Of("old")));
  EXPECT_EQ(File("10.1.2.2"), "-");
}

// Nobody knows whose they are: they are not given out again, and GC takes them.
TEST_F(HostLocalTest, DamagedLeasesAreTakenUntilGc) {
  ASSERT_TRUE(temp_.dir().MakeDir("net", 0755));
  Write("10.1.2.2", "");
  Write("10.1.2.3", std::string(8192, 'x'));
  Write("10.1.2.4", "someone\r\neth0\r\n");
  Write("last_reserved_ip.0", "no address");
  Write("readme", "not a lease");
  EXPECT_EQ(AddressOf(Of("one")), "10.1.2.5/29");
  Request gc = Of("");
  gc.valid_attachments = std::vector<Attachment>{{"one", "eth0"}};
  ASSERT_TRUE(kHostLocal.gc(gc));
  EXPECT_EQ(Files(), (std::set<std::string>{"10.1.2.5", "last_reserved_ip.0", "lock", "readme"}));
}

TEST_F(HostLocalTest, GcWithoutAListTakesNothing) {
  EXPECT_EQ(AddressOf(Of("one")), "10.1.2.2/29");
  EXPECT_TRUE(kHostLocal.gc(Of("")));
  EXPECT_EQ(File("10.1.2.2"), "one\r\neth0");
}

TEST_F(HostLocalTest, ManyAtOnceGetDifferentAddresses) {
  constexpr int kThreads = 4, kEach = 25;
  Guarded<std::set<std::string>> given;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string address =
            AddressOf(Of(StrCat("c", t, "-", i), R"([{"subnet":"10.1.0.0/16"}])"));
        given.Lock()->insert(address);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(given.Lock()->size(), static_cast<size_t>(kThreads * kEach));
}

TEST_F(HostLocalTest, ReadsResolvConf) {
  ASSERT_TRUE(temp_.dir().WriteFile("resolv.conf", "nameserver 10.0.0.1\n", 0644));
  Request request = Of("one");
  request.config =
      StrCat(R"({"name":"net","ipam":{"dataDir":")", temp_.path(),
             R"(","subnet":"10.1.2.0/29","resolvConf":")", temp_.path(), R"(/resolv.conf"}})");
  Result<Outcome> outcome = kHostLocal.add(request);
  ASSERT_TRUE(outcome) << outcome.error().message();
  EXPECT_EQ(outcome->dns.nameservers, std::vector<std::string>{"10.0.0.1"});
}

}  // namespace
}  // namespace berth::cni
