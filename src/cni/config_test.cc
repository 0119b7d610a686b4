// SPDX-License-Identifier: Apache-2.0
// The configurations of bridge and portmap.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "base/strings.h"
#include "cni/bridge_config.h"
#include "cni/portmap_config.h"
#include "oci/testing/expect_error.h"

namespace berth::cni {
namespace {

TEST(BridgeConfig, DefaultsAndEveryKey) {
  const BridgeConfig none = *ParseBridgeConfig("{}", "", true);
  EXPECT_EQ(none.bridge, "cni0");
  EXPECT_FALSE(none.is_gateway);
  const BridgeConfig all = *ParseBridgeConfig(
      R"({"bridge":"b","isDefaultGateway":true,"forceAddress":true,"ipMasq":true,"ipMasqBackend":"nftables","mtu":1400,)"
      R"("hairpinMode":true,"vlan":7,"vlanTrunk":[{"minID":10,"maxID":12},{"id":5}],"preserveDefaultVlan":true,)"
      R"("macspoofchk":true,"enabledad":true,"portIsolation":true,"args":{"cni":{"mac":"0a:00:00:00:00:02"}},)"
      R"("runtimeConfig":{"mac":"0a:00:00:00:00:03"},"dns":{"domain":"d"}})",
      "IgnoreUnknown=1;MAC=0a:00:00:00:00:01", true);
  EXPECT_TRUE(all.is_gateway) << "the default gateway is a gateway";
  EXPECT_EQ(all.mtu, 1400u);
  EXPECT_EQ(all.trunk, (std::vector<uint16_t>{5, 10, 11, 12}));
  EXPECT_TRUE(all.vlan_filtering);
  EXPECT_EQ(FormatMac(all.mac), "0a:00:00:00:00:03");
  EXPECT_EQ(all.dns.domain, "d");
}

TEST(BridgeConfig, Refuses) {
  struct Case {
    const char* config;
    const char* message;
  };
  const Case table[] = {
      {R"({"vlan":4095})", "invalid VLAN ID 4095 (must be between 0 and 4094)"},
      {R"({"vlan":-1})", "invalid VLAN ID -1"},
      {R"({"vlanTrunk":[{"minID":1}]})",
       "minID and maxID should be configured simultaneously, maxID is missing"},
      {R"({"vlanTrunk":[{"maxID":1}]})", "minID is missing"},
      {R"({"vlanTrunk":[{"minID":9,"maxID":2}]})",
       "minID is greater than maxID in trunk parameter"},
      {R"({"vlanTrunk":[{"id":0}]})", "incorrect trunk id parameter"},
      {R"({"hairpinMode":true,"promiscMode":true})",
       "cannot set hairpin mode and promiscuous mode at the same time"},
      {R"({"disableContainerInterface":true})",
       "cannot use IPAM when DisableContainerInterface flag is set"},
      {R"({"isGateway":"yes"})", "failed to load netconf: isGateway: not true or false"},
      {R"({"mtu":70000})", "mtu: number out of range"},
      {R"({"runtimeConfig":{"mac":"x"}})", "invalid MAC address"},
  };
  for (const Case& each : table) {
    SCOPED_TRACE(each.config);
    EXPECT_FAILS(ParseBridgeConfig(each.config, "", true), Code::kInvalidArgument, each.message);
  }
}

TEST(BridgeConfig, GatewaysAndDefaultRoutes) {
  BridgeConfig config;
  config.is_gateway = config.is_default_gateway = true;
  Outcome out = *ParseOutcome(
      R"({"ips":[{"address":"10.1.2.5/24"},{"address":"10.3.0.5/24"},{"address":"fd00::5/64","gateway":"fd00::9"}],)"
      R"("routes":[{"dst":"::/0","gw":"fd00::7"}]})");
  FillGateways(config, 2, out);
  EXPECT_EQ(
      *FormatOutcome(out, "1.0.0"),
      R"({"cniVersion":"1.0.0","ips":[{"address":"10.1.2.5/24","gateway":"10.1.2.1","interface":2},)"
      R"({"address":"10.3.0.5/24","gateway":"10.3.0.1","interface":2},)"
      R"({"address":"fd00::5/64","gateway":"fd00::9","interface":2}],)"
      R"("routes":[{"dst":"::/0","gw":"fd00::7"},{"dst":"0.0.0.0/0","gw":"10.1.2.1"}]})");
}

TEST(PortmapConfig, PortsAndDefaults) {
  const PortmapConfig config = *ParsePortmapConfig(
      R"({"runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"192.0.2.1"},)"
      R"({"hostPort":53,"containerPort":5353,"protocol":"UDP"},{"hostPort":9,"containerPort":9,"protocol":"sctp"}]}})");
  EXPECT_TRUE(config.snat);
  ASSERT_EQ(config.ports.size(), 3u);
  EXPECT_EQ(Format(*config.ports[0].host_ip), "192.0.2.1");
  EXPECT_EQ(config.ports[1].protocol, IPPROTO_UDP);
  EXPECT_EQ(config.ports[2].protocol, IPPROTO_SCTP);
}

TEST(PortmapConfig, Refuses) {
  auto port = [](const char* text) {
    return StrCat(R"({"runtimeConfig":{"portMappings":[)", text, "]}}");
  };
  struct Case {
    std::string config;
    Code code;
    const char* message;
  };
  const Case table[] = {
      {port(R"({"hostPort":80})"), Code::kInvalidArgument, "Invalid container port number: 0"},
      {port(R"({"containerPort":80})"), Code::kInvalidArgument, "Invalid host port number: 0"},
      {port(R"({"containerPort":80,"hostPort":65536})"), Code::kInvalidArgument,
       "Invalid host port number: 65536"},
      {port(R"({"containerPort":80,"hostPort":80,"protocol":"icmp"})"), Code::kInvalidArgument,
       "unknown protocol \"icmp\""},
      {port(R"({"containerPort":80,"hostPort":80,"hostIP":"x"})"), Code::kInvalidArgument,
       "hostIP: invalid IP address"},
      {R"({"markMasqBit":5,"externalSetMarkChain":"K"})", Code::kInvalidArgument,
       "Cannot specify externalSetMarkChain and markMasqBit"},
      {R"({"markMasqBit":32})", Code::kInvalidArgument, "MasqMarkBit must be between 0 and 31"},
      {R"({"backend":"pf"})", Code::kInvalidArgument, "unrecognized backend \"pf\""},
      {R"({"backend":"nftables","conditionsV4":["-s","1.2.3.4"]})", Code::kInvalidArgument,
       "nftables backend was requested but configuration contains iptables-specific options "
       "[conditionsV4]"},
      {R"({"conditionsV4":["-m","mark"]})", Code::kUnimplemented, "are supported"},
      {R"({"conditionsV4":["-s","fd00::1"]})", Code::kInvalidArgument, "is of the other family"},
      {R"({"conditionsV4":["-s"]})", Code::kUnimplemented, "are supported"},
  };
  for (const Case& each : table) {
    SCOPED_TRACE(each.config);
    EXPECT_FAILS(ParsePortmapConfig(each.config), each.code, each.message);
  }
}

TEST(PortmapConfig, ConditionsOfBothLanguages) {
  auto text = [](const std::vector<std::string>& words, bool v6) {
    Result<std::vector<Condition>> conditions = ParseConditions(words, v6);
    if (!conditions) return conditions.error().message();
    std::string out;
    for (const Condition& each : *conditions)
      out += StrCat(static_cast<int>(each.kind), each.equal ? "=" : "!",
                    each.interface.empty() ? Format(each.prefix) : each.interface, " ");
    return out;
  };
  EXPECT_EQ(text({"-s", "10.0.0.0/8", "!", "-d", "192.0.2.1"}, false),
            "0=10.0.0.0/8 1!192.0.2.1/32 ");
  EXPECT_EQ(text({"-i", "eth0"}, true), "2=eth0 ");
  EXPECT_EQ(text({"ip", "saddr", "!=", "10.0.0.0/8", "iifname", "!=", "\"eth0\""}, false),
            "0!10.0.0.0/8 2!eth0 ");
  EXPECT_EQ(text({"ip6", "daddr", "fd00::/8"}, true), "1=fd00::/8 ");
}

TEST(PortmapConfig, ThePodsAddressIsThatOfItsInterface) {
  const Outcome outcome = *ParseOutcome(
      R"({"interfaces":[{"name":"cni0"},{"name":"eth0","sandbox":"/n"},{"name":"eth0"}],)"
      R"("ips":[{"address":"10.0.0.1/8","interface":0},{"address":"10.0.0.2/8","interface":2},)"
      R"({"address":"10.0.0.3/8","interface":1},{"address":"10.0.0.4/8","interface":1},{"address":"fd00::1/64"}]})");
  EXPECT_EQ(Format(*PodAddress(outcome, "eth0", false)), "10.0.0.3/8");
  EXPECT_EQ(Format(*PodAddress(outcome, "eth0", true)), "fd00::1/64");
  EXPECT_FALSE(PodAddress(outcome, "eth1", false));
}

}  // namespace
}  // namespace berth::cni
