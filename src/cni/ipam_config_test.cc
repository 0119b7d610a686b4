// SPDX-License-Identifier: Apache-2.0
// The cases are those that the reference's allocator is known by, its messages too.
#include "cni/ipam_config.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "oci/testing/expect_error.h"

namespace berth::cni {
namespace {

Result<IpamConfig> Parse(const std::string& ipam, const std::string& more = "",
                         const std::string& args = "") {
  return ParseIpamConfig(
      StrCat(R"({"cniVersion":"1.0.0","name":"net","ipam":{"type":"host-local",)", ipam, "}", more,
             "}"),
      args);
}

std::string Requested(const IpamConfig& config) {
  std::string out;
  for (const IpAddress& each : config.requested) out += Format(each) + " ";
  return out;
}

TEST(IpamConfig, OldRangeComesAfterTheRuntimesAndBeforeTheNewOnes) {
  Result<IpamConfig> config = Parse(
      R"("subnet":"10.1.2.0/24","rangeStart":"10.1.2.9","rangeEnd":"10.1.2.20","gateway":"10.1.2.30",)"
      R"("ranges":[[{"subnet":"11.1.2.0/24"}]])",
      R"(,"runtimeConfig":{"ipRanges":[[{"subnet":"12.1.3.0/24"}]]})");
  ASSERT_TRUE(config) << config.error().message();
  ASSERT_EQ(config->sets.size(), 3u);
  EXPECT_EQ(Format(config->sets[0]), "12.1.3.1-12.1.3.254");
  EXPECT_EQ(Format(config->sets[1]), "10.1.2.9-10.1.2.20");
  EXPECT_EQ(Format(config->sets[1][0].gateway), "10.1.2.30");
  EXPECT_EQ(Format(config->sets[2][0].gateway), "11.1.2.1");
  EXPECT_EQ(config->data_dir, "/var/lib/cni/networks");
}

TEST(IpamConfig, DefaultsOfIpv6) {
  const IpamConfig config = *Parse(R"("ranges":[[{"subnet":"2001:db8:1::/64"}]])");
  EXPECT_EQ(Format(config.sets[0]), "2001:db8:1::1-2001:db8:1:0:ffff:ffff:ffff:ffff");
  EXPECT_EQ(Format(config.sets[0][0].gateway), "2001:db8:1::1");
}

TEST(IpamConfig, AddressesAreRequestedInThreeWays) {
  const IpamConfig config = *Parse(R"("subnet":"10.1.2.0/24")",
                                   R"(,"args":{"cni":{"ips":["10.1.2.11/24","2001:db8::11"]}},)"
                                   R"("runtimeConfig":{"ips":["10.1.2.12"]})",
                                   "IgnoreUnknown=1;IP=10.1.2.10/24;X=y");
  EXPECT_EQ(Requested(config), "10.1.2.10 10.1.2.11 2001:db8::11 10.1.2.12 ");
}

TEST(IpamConfig, Refuses) {
  struct Case {
    const char* ipam;
    const char* message;
  };
  const Case table[] = {
      {R"("ranges":[])", "no IP ranges specified"},
      {R"("ranges":[[]])", "invalid range set 0: empty range set"},
      {R"("ranges":[[{}]])", "invalid range set 0: ipam.ranges[0][0].subnet: missing"},
      {R"("subnet":"10.1.2.0/31")", "Network 10.1.2.0/31 too small to allocate from"},
      {R"("subnet":"10.1.2.3/24")",
       "Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0"},
      {R"("subnet":"10.1.2.0/24","rangeStart":"10.1.3.9")",
       "RangeStart 10.1.3.9 not in network 10.1.2.0/24"},
      {R"("subnet":"10.1.2.0/24","rangeEnd":"10.1.3.9")",
       "RangeEnd 10.1.3.9 not in network 10.1.2.0/24"},
      {R"("subnet":"10.1.2.0/30","rangeStart":"10.1.2.3")",
       "RangeStart 10.1.2.3 is after the last address of 10.1.2.0/30"},
      {R"("subnet":"10.1.2.0/24","rangeStart":"10.1.2.9","rangeEnd":"10.1.2.8")",
       "RangeEnd 10.1.2.8 not in network"},
      {R"("ranges":[[{"subnet":"10.1.0.0/22"},{"subnet":"10.1.2.0/24"}]])",
       "invalid range set 0: subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap"},
      {R"("ranges":[[{"subnet":"10.1.0.0/22"},{"subnet":"2001:db8:5::/64"}]])",
       "invalid range set 0: mixed address families"},
      {R"("ranges":[[{"subnet":"10.1.2.0/24"},{"subnet":"10.2.2.0/24"}],[{"subnet":"10.1.4.0/24"},{"subnet":"10.1.2.0/24"}]])",
       "range set 0 overlaps with 1"},
      {R"("subnet":5)", "ipam.subnet: not a string"},
  };
  for (const Case& each : table) {
    SCOPED_TRACE(each.ipam);
    EXPECT_FAILS(Parse(each.ipam), Code::kInvalidArgument, each.message);
  }
  EXPECT_FAILS(ParseIpamConfig(R"({"name":"net"})", ""), Code::kInvalidArgument,
               "IPAM config missing 'ipam' key");
  EXPECT_FAILS(Parse(R"("subnet":"10.1.2.0/24")", "", "IP=x"), Code::kInvalidArgument, "ARGS: IP");
}

RangeSet Set(const std::vector<std::string>& subnets) {
  std::string ranges;
  for (const std::string& each : subnets)
    ranges += StrCat(ranges.empty() ? "" : ",", R"({"subnet":")", each, R"("})");
  return (*Parse(StrCat(R"("ranges":[[)", ranges, "]]"))).sets[0];
}

std::string Walk(const RangeSet& set, const std::string& last) {
  std::optional<IpAddress> from;
  if (!last.empty()) from = *ParseIp(last);
  RangeWalk walk(set, from);
  std::string out;
  while (auto candidate = walk.Next()) out += Format(candidate->address.address) + " ";
  return out;
}

TEST(RangeWalk, GoesRoundFromTheLastOne) {
  const RangeSet set = Set({"192.168.1.0/29"});
  EXPECT_EQ(Walk(set, ""), "192.168.1.2 192.168.1.3 192.168.1.4 192.168.1.5 192.168.1.6 ");
  EXPECT_EQ(Walk(set, "192.168.1.6"),
            "192.168.1.2 192.168.1.3 192.168.1.4 192.168.1.5 192.168.1.6 ");
  EXPECT_EQ(Walk(set, "192.168.1.3"),
            "192.168.1.4 192.168.1.5 192.168.1.6 192.168.1.2 192.168.1.3 ");
  EXPECT_EQ(Walk(set, "10.0.0.128"),
            "192.168.1.2 192.168.1.3 192.168.1.4 192.168.1.5 192.168.1.6 ");
}

TEST(RangeWalk, GoesThroughEveryRangeOfASet) {
  const RangeSet set = Set({"10.0.0.0/30", "10.0.1.0/30", "10.0.2.0/30"});
  EXPECT_EQ(Walk(set, ""), "10.0.0.2 10.0.1.2 10.0.2.2 ");
  EXPECT_EQ(Walk(set, "10.0.0.2"), "10.0.1.2 10.0.2.2 10.0.0.2 ");
  EXPECT_EQ(Walk(set, "10.0.2.2"), "10.0.0.2 10.0.1.2 10.0.2.2 ");
}

TEST(ResolvConf, TakesTheKnownLines) {
  const Dns dns = ParseResolvConf(
      "# c\n; c\nnameserver 10.0.0.1 x\n nameserver\t::1\nsearch a b\nsearch c\noptions x y\n"
      "domain d\nsortlist 1\nnameserver\n");
  EXPECT_EQ(dns.nameservers, (std::vector<std::string>{"10.0.0.1", "::1"}));
  EXPECT_EQ(dns.search, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(dns.options, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(dns.domain, "d");
}

}  // namespace
}  // namespace berth::cni
