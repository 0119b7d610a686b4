// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"
#include "oci/cni.h"
#include "oci/json_internal.h"
#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

constexpr std::string_view kNew = R"({"cniVersion":"1.1.0",
  "interfaces":[{"name":"cni0","mac":"00:11:22:33:44:55"},
    {"name":"eth0","mac":"99:88:77:66:55:44","sandbox":"/run/netns/a","mtu":1450,"socketPath":"/s","pciID":"0"}],
  "ips":[{"address":"10.1.0.5/16","gateway":"10.1.0.1","interface":1},
         {"address":"fd00::5/64","gateway":"fd00::1","interface":1},
         {"address":"10.1.0.1/16","interface":0}],
  "routes":[{"dst":"0.0.0.0/0","mtu":1400,"table":7},{"dst":"::/0","gw":"fd00::1"}],
  "dns":{"nameservers":["10.1.0.1"],"domain":"d","search":["s"],"options":["o"]},"other":{"x":1}})";

TEST(CniResultTest, ReadsTheNewestForm) {
  auto result = ParseCniResult(kNew, "0.4.0");
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->cni_version, "1.1.0");
  ASSERT_EQ(result->interfaces.size(), 2u);
  EXPECT_EQ(result->interfaces[1].name, "eth0");
  EXPECT_EQ(result->interfaces[1].sandbox, "/run/netns/a");
  EXPECT_EQ(result->interfaces[1].mtu, 1450u);
  EXPECT_FALSE(result->interfaces[0].mtu);
  ASSERT_EQ(result->ips.size(), 3u);
  EXPECT_EQ(result->ips[1].address, "fd00::5/64");
  EXPECT_EQ(result->ips[1].gateway, "fd00::1");
  EXPECT_EQ(result->ips[1].interface, 1u);
  ASSERT_EQ(result->routes.size(), 2u);
  EXPECT_EQ(result->routes[0].gw, "");
  EXPECT_EQ(result->routes[1].gw, "fd00::1");
  EXPECT_EQ(result->dns.nameservers, std::vector<std::string>{"10.1.0.1"});
  EXPECT_EQ(result->dns.domain, "d");
  EXPECT_EQ(result->raw, kNew);
  EXPECT_EQ(PodIps(*result), (std::vector<std::string>{"10.1.0.5", "fd00::5"}));
}

TEST(CniResultTest, ReadsEveryOlderVersion) {
  for (std::string_view version : SupportedCniVersions()) {
    SCOPED_TRACE(version);
    auto result = ParseCniResult(
        StrCat(
            R"({"cniVersion":")", version,
            R"(","ips":[{"version":"4","address":"10.22.0.2/16"},{"version":"6","address":"fd00::2/128"},)"
            R"({"version":"4","address":"10.22.0.2/32"}],"interfaces":null,"dns":{}})"),
        version);
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_EQ(result->cni_version, version);
    EXPECT_EQ(PodIps(*result), (std::vector<std::string>{"10.22.0.2", "fd00::2"}));
  }
}

TEST(CniResultTest, TakesTheGivenVersionWhenTheResultNamesNone) {
  auto result = ParseCniResult("{}\n", "0.3.1");
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->cni_version, "0.3.1");
  EXPECT_TRUE(PodIps(*result).empty());
}

TEST(CniResultTest, ErrorsNameTheField) {
  struct Patch {
    const char* pointer;
    Json value;
    const char* fragment;
  };
  const Patch table[] = {
      {"/cniVersion", "0.2.0", "cni result: cniVersion: \"0.2.0\" is not supported"},
      {"/cniVersion", 1, "cniVersion: not a string"},
      {"/interfaces", 1, "interfaces: not an array"},
      {"/interfaces/0", nullptr, "interfaces[0]: not an object"},
      {"/interfaces/0/name", "", "interfaces[0].name: empty"},
      {"/interfaces/0/mtu", -1, "interfaces[0].mtu: number out of range"},
      {"/interfaces/1/sandbox", 1, "interfaces[1].sandbox: not a string"},
      {"/ips", Json::object(), "ips: not an array"},
      {"/ips/0/address", nullptr, "ips[0].address: is null"},
      {"/ips/0/address", "10.1.0.5",
       "ips[0].address: \"10.1.0.5\" is not an address with a prefix length"},
      {"/ips/0/address", "10.1.0.5/33", "is not an address with a prefix length"},
      {"/ips/0/address", "10.1.0.5/", "is not an address with a prefix length"},
      {"/ips/0/address", "10.1.0.5/-1", "is not an address with a prefix length"},
      {"/ips/0/address", "10.1.0.5/16/1", "is not an address with a prefix length"},
      {"/ips/0/address", "10.1.0.500/16", "is not an address with a prefix length"},
      {"/ips/0/address", "fd00::1/129", "is not an address with a prefix length"},
      {"/ips/0/address", "fe80::1%eth0/64", "is not an address with a prefix length"},
      {"/ips/0/gateway", "x", "ips[0].gateway: \"x\" is not an address"},
      {"/ips/0/interface", 2, "ips[0].interface: no interface 2 among 2"},
      {"/ips/0/interface", -1, "ips[0].interface: number out of range"},
      {"/ips/0/interface", "0", "ips[0].interface: not a whole number"},
      {"/routes/0/dst", nullptr, "routes[0].dst: is null"},
      {"/routes/1/gw", "fd00::1/64", "routes[1].gw: \"fd00::1/64\" is not an address"},
      {"/dns", "x", "dns: not an object"},
      {"/dns/search", {1}, "dns.search[0]: not a string"},
  };
  for (const Patch& patch : table) {
    SCOPED_TRACE(patch.pointer);
    Json json = Json::parse(kNew);
    json[Json::json_pointer(patch.pointer)] = patch.value;
    EXPECT_FAILS(ParseCniResult(json.dump(), "1.1.0"), Code::kInvalidArgument, patch.fragment);
  }
  EXPECT_FAILS(ParseCniResult("", "1.0.0"), Code::kInvalidArgument, "cni result: document: empty");
  EXPECT_FAILS(ParseCniResult("panic: x", "1.0.0"), Code::kInvalidArgument, "not valid JSON");
  EXPECT_FAILS(ParseCniResult("[]", "1.0.0"), Code::kInvalidArgument, "not an object");
  EXPECT_FAILS(ParseCniResult("{}", ""), Code::kInvalidArgument,
               "cniVersion: \"\" is not supported");
  EXPECT_FAILS(ParseCniResult(std::string(kMaxCniResultBytes + 1, ' '), "1.0.0"),
               Code::kInvalidArgument, "larger than 1048576");
}

TEST(CniResultTest, PodIpsIgnoresAnIndexOutOfRange) {
  CniResult result;
  result.ips = {{"10.0.0.1/8", "", 3}};
  EXPECT_TRUE(PodIps(result).empty());
}

TEST(CniErrorTest, BecomesAnErrorWithTheRightCode) {
  auto error =
      ParseCniError(R"({"cniVersion":"1.0.0","code":11,"msg":"busy","details":"try\nlater"})");
  ASSERT_TRUE(error) << error.error().message();
  EXPECT_EQ(error->cni_version, "1.0.0");
  Error converted = CniErrorToError(*error, "bridge");
  EXPECT_EQ(converted.code(), Code::kUnavailable);
  EXPECT_EQ(converted.message(), R"(cni plugin bridge: "busy": "try\nlater" (CNI code 11))");

  const std::map<uint32_t, Code> codes = {
      {1, Code::kFailedPrecondition}, {2, Code::kFailedPrecondition}, {3, Code::kNotFound},
      {4, Code::kInternal},           {7, Code::kFailedPrecondition}, {50, Code::kUnavailable},
      {51, Code::kUnavailable},       {100, Code::kInternal}};
  for (auto [number, code] : codes) {
    CniError plain{.cni_version = "", .code = number, .msg = "", .details = ""};
    EXPECT_EQ(CniErrorToError(plain, "p").code(), code) << number;
    EXPECT_EQ(CniErrorToError(plain, "p").message(),
              StrCat("cni plugin p: no message (CNI code ", number, ")"));
  }
}

TEST(CniErrorTest, RefusesWhatIsNoError) {
  EXPECT_FAILS(ParseCniError("{}"), Code::kInvalidArgument, "cni error: code: missing");
  EXPECT_FAILS(ParseCniError(R"({"code":"7"})"), Code::kInvalidArgument,
               "code: not a whole number");
  EXPECT_FAILS(ParseCniError(R"({"code":-1})"), Code::kInvalidArgument,
               "code: number out of range");
  EXPECT_FAILS(ParseCniError(R"({"code":7,"msg":1})"), Code::kInvalidArgument, "msg: not a string");
  EXPECT_FAILS(ParseCniError("Segmentation fault"), Code::kInvalidArgument, "not valid JSON");
}

TEST(CniVersionInfoTest, ListsWhatAPluginSupports) {
  auto info =
      ParseCniVersionInfo(R"({"cniVersion":"1.0.0","supportedVersions":["0.1.0","1.0.0"]})");
  ASSERT_TRUE(info) << info.error().message();
  EXPECT_TRUE(info->Supports("1.0.0"));
  EXPECT_FALSE(info->Supports("1.1.0"));
  EXPECT_FAILS(ParseCniVersionInfo("{}"), Code::kInvalidArgument,
               "cni version: supportedVersions: missing");
  EXPECT_FAILS(ParseCniVersionInfo(R"({"supportedVersions":[1]})"), Code::kInvalidArgument,
               "supportedVersions[0]: not a string");
}

}  // namespace
}  // namespace berth::oci
