// SPDX-License-Identifier: Apache-2.0
#include "cni/result.h"

#include <gtest/gtest.h>

#include "oci/testing/expect_error.h"

namespace berth::cni {
namespace {

constexpr const char* kText =
    R"({"cniVersion":"1.1.0","interfaces":[{"name":"br"},{"name":"eth0","mac":"0a:00:00:00:00:01","mtu":1400,)"
    R"("sandbox":"/n","socketPath":"/s","pciID":"p"}],"ips":[{"address":"10.1.0.5/16","gateway":"10.1.0.1","interface":1},)"
    R"({"address":"fd00::5/64"}],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0","gw":"fd00::1","mtu":1400,"advmss":1300,)"
    R"("priority":5,"table":7,"scope":253}],"dns":{"nameservers":["10.0.0.1"],"search":["s"]},"other":1})";

TEST(CniOutcome, EveryVersionHasItsForm) {
  const Outcome outcome = *ParseOutcome(kText);
  EXPECT_EQ(
      *FormatOutcome(outcome, "1.1.0"),
      R"({"cniVersion":"1.1.0","dns":{"nameservers":["10.0.0.1"],"search":["s"]},)"
      R"("interfaces":[{"name":"br"},{"mac":"0a:00:00:00:00:01","mtu":1400,"name":"eth0","pciID":"p","sandbox":"/n",)"
      R"("socketPath":"/s"}],"ips":[{"address":"10.1.0.5/16","gateway":"10.1.0.1","interface":1},)"
      R"({"address":"fd00::5/64"}],"routes":[{"dst":"0.0.0.0/0"},{"advmss":1300,"dst":"::/0","gw":"fd00::1",)"
      R"("mtu":1400,"priority":5,"scope":253,"table":7}]})");
  for (const char* old : {"0.3.0", "0.3.1", "0.4.0"}) {
    const std::string text = *FormatOutcome(outcome, old);
    EXPECT_NE(
        text.find(R"({"address":"10.1.0.5/16","gateway":"10.1.0.1","interface":1,"version":"4"})"),
        text.npos)
        << text;
    EXPECT_NE(text.find(R"({"address":"fd00::5/64","version":"6"})"), text.npos) << text;
    EXPECT_EQ(text.find("mtu\":1400,\"name"), text.npos) << text;
  }
  EXPECT_EQ(*FormatOutcome({}, "0.4.0"), R"({"cniVersion":"0.4.0","dns":{}})");
  EXPECT_EQ(*FormatOutcome({}, "1.0.0"), R"({"cniVersion":"1.0.0"})");
}

TEST(CniOutcome, ErrorsNameThePlace) {
  EXPECT_FAILS(ParseOutcome(R"({"ips":[{}]})"), Code::kInvalidArgument, "ips[0].address: missing");
  EXPECT_FAILS(ParseOutcome(R"({"ips":[{"address":"10.1.0.5"}]})"), Code::kInvalidArgument,
               "invalid CIDR address");
  EXPECT_FAILS(ParseOutcome(R"({"ips":[{"address":"10.1.0.5/8","gateway":"x"}]})"),
               Code::kInvalidArgument, "ips[0].gateway: invalid IP address");
  EXPECT_FAILS(ParseOutcome(R"({"routes":[{"dst":"0.0.0.0/33"}]})"), Code::kInvalidArgument,
               "routes[0].dst");
  EXPECT_FAILS(ParseOutcome(R"({"interfaces":[{"mtu":-1}]})"), Code::kInvalidArgument,
               "interfaces[0].mtu");
  EXPECT_FAILS(ParseOutcome("[]"), Code::kInvalidArgument, "not an object");
}

TEST(CniAddress, ParsesAndCounts) {
  EXPECT_EQ(Format(*ParseIp("::ffff:10.1.0.5")), "10.1.0.5");
  EXPECT_EQ(Format(*ParsePrefix("10.1.0.5/16")), "10.1.0.5/16");
  for (const char* bad : {"", "10.1.0", "10.1.0.5.6", "fd00:::1", "10.1.0.5 ", "fe80::1%eth0"})
    EXPECT_FAILS(ParseIp(bad), Code::kInvalidArgument, "invalid IP address");
  for (const char* bad :
       {"10.1.0.5", "10.1.0.5/33", "10.1.0.5/", "10.1.0.5/-1", "fd00::/129", "/8", "10.1.0.5/1/1"})
    EXPECT_FAILS(ParsePrefix(bad), Code::kInvalidArgument, "invalid CIDR address");
  EXPECT_EQ(Format(Next(*ParseIp("10.0.255.255"))), "10.1.0.0");
  EXPECT_EQ(Format(Next(*ParseIp("255.255.255.255"))), "0.0.0.0");
  EXPECT_EQ(Format(Next(*ParseIp("fd00::ffff"))), "fd00::1:0");
  EXPECT_EQ(Format(Network(*ParsePrefix("10.1.77.5/20"))), "10.1.64.0");
  EXPECT_EQ(Format(Broadcast(*ParsePrefix("10.1.77.5/20"))), "10.1.79.255");
  EXPECT_EQ(Format(Broadcast(*ParsePrefix("10.1.77.5/0"))), "255.255.255.255");
  EXPECT_TRUE(Contains(*ParsePrefix("fd00::/64"), *ParseIp("fd00::5")));
  EXPECT_FALSE(Contains(*ParsePrefix("0.0.0.0/0"), *ParseIp("fd00::5")));
}

TEST(CniAddress, Mac) {
  EXPECT_EQ(FormatMac(*ParseMac("0A-58-0a:01:00:fF")), "0a:58:0a:01:00:ff");
  for (const char* bad :
       {"", "0a:58:0a:01:00", "0a:58:0a:01:00:0g", "0a58.0a01.0005", "0a:58:0a:01:00:055"})
    EXPECT_FAILS(ParseMac(bad), Code::kInvalidArgument, "invalid MAC address");
}

}  // namespace
}  // namespace berth::cni
