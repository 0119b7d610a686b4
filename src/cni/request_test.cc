// SPDX-License-Identifier: Apache-2.0
#include "cni/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/strings.h"
#include "oci/testing/expect_error.h"

namespace berth::cni {
namespace {

using ::testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

Variables Complete(const std::string& command) {
  return {{"CNI_COMMAND", command},
          {"CNI_CONTAINERID", "c1"},
          {"CNI_NETNS", "/run/netns/a"},
          {"CNI_IFNAME", "eth0"},
          {"CNI_PATH", "/a:/b"}};
}

struct Outcome2 {
  std::optional<Request> request;
  Failure failure;
};

Outcome2 Read(const Variables& variables, const std::string& input) {
  Outcome2 out;
  out.request = ReadRequest(
      [&](const char* name) {
        auto found = variables.find(name);
        return found == variables.end() ? std::string() : found->second;
      },
      input, out.failure);
  return out;
}

constexpr const char* kConfig =
    R"({"cniVersion":"1.1.0","name":"net","type":"bridge","ipam":{"type":"host-local"},)"
    R"("prevResult":{"ips":[{"address":"10.1.0.5/16"}]},)"
    R"("cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]})";

TEST(CniRequest, ReadsWhatEveryPluginWants) {
  const Outcome2 read = Read(Complete("ADD"), kConfig);
  ASSERT_TRUE(read.request) << read.failure.msg;
  EXPECT_EQ(read.request->container_id, "c1");
  EXPECT_EQ(read.request->path, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(read.request->network, "net");
  EXPECT_EQ(read.request->ipam_type, "host-local");
  ASSERT_TRUE(read.request->prev_result);
  EXPECT_EQ(Format(read.request->prev_result->ips[0].address), "10.1.0.5/16");
  ASSERT_TRUE(read.request->valid_attachments);
  EXPECT_EQ(read.request->valid_attachments->size(), 1u);
}

TEST(CniRequest, DelNeedsNoNamespace) {
  Variables variables = Complete("DEL");
  variables.erase("CNI_NETNS");
  EXPECT_TRUE(Read(variables, kConfig).request);
  variables["CNI_COMMAND"] = "ADD";
  const Outcome2 read = Read(variables, kConfig);
  EXPECT_FALSE(read.request);
  EXPECT_EQ(read.failure.code, CniCode::kInvalidEnvironment);
  EXPECT_EQ(read.failure.msg, "required env variables [CNI_NETNS] missing");
}

// Codes and messages of the reference's skel package.
TEST(CniRequest, EveryFailureHasTheSpecsCode) {
  struct Case {
    const char* variable;
    std::string value;
    std::string config;
    CniCode code;
    const char* message;
  };
  const Case table[] = {
      {"CNI_COMMAND", "", kConfig, CniCode::kInvalidEnvironment,
       "required env variables [CNI_COMMAND] missing"},
      {"CNI_COMMAND", "FROB", kConfig, CniCode::kInvalidEnvironment,
       "unknown CNI_COMMAND: \"FROB\""},
      {"CNI_PATH", "", kConfig, CniCode::kInvalidEnvironment,
       "required env variables [CNI_PATH] missing"},
      {"CNI_CONTAINERID", "a/b", kConfig, CniCode::kInvalidEnvironment,
       "invalid characters in containerID"},
      {"CNI_IFNAME", "a:b", kConfig, CniCode::kInvalidEnvironment,
       "interface name contains / or :"},
      {"CNI_IFNAME", "e%d", kConfig, CniCode::kInvalidEnvironment,
       "interface name contains / or : or % or whitespace"},
      {"CNI_IFNAME", "..", kConfig, CniCode::kInvalidEnvironment, "interface name is . or .."},
      {"CNI_IFNAME", "a2345678901234567", kConfig, CniCode::kInvalidEnvironment,
       "interface name is too long"},
      {"X", "", "{", CniCode::kDecodingFailure, "error unmarshall network config"},
      {"X", "", R"({"cniVersion":1,"name":"n"})", CniCode::kDecodingFailure,
       "cniVersion: not a string"},
      {"X", "", "null", CniCode::kInvalidConfig, "missing network name"},
      {"X", "", R"({"cniVersion":"1.0.0"})", CniCode::kInvalidConfig, "missing network name"},
      {"X", "", R"({"cniVersion":"1.0.0","name":"a/b"})", CniCode::kInvalidConfig,
       "invalid characters found in network name"},
      {"X", "", R"({"name":"n"})", CniCode::kIncompatibleVersion, "incompatible CNI versions"},
      {"X", "", R"({"name":"n","cniVersion":"2.0.0"})", CniCode::kIncompatibleVersion,
       "incompatible CNI versions"},
      {"CNI_COMMAND", "CHECK", R"({"name":"n","cniVersion":"0.3.1"})",
       CniCode::kIncompatibleVersion, "config version does not allow CHECK"},
      {"CNI_COMMAND", "GC", R"({"name":"n","cniVersion":"1.0.0"})", CniCode::kIncompatibleVersion,
       "config version does not allow GC"},
      {"CNI_COMMAND", "STATUS", R"({"name":"n","cniVersion":"1.0.0"})",
       CniCode::kIncompatibleVersion, "config version does not allow STATUS"},
      {"X", "", R"({"name":"n","cniVersion":"1.0.0","prevResult":{"ips":[{"address":"x"}]}})",
       CniCode::kInternal,
       "could not parse prevResult: prevResult.ips[0].address: invalid CIDR address: \"x\""},
      {"X", "", R"({"name":"n","cniVersion":"1.0.0","prevResult":{"cniVersion":"9.9.9"}})",
       CniCode::kInternal,
       "could not parse prevResult: prevResult: unsupported CNI result version \"9.9.9\""},
      {"X", "", R"({"name":"n","cniVersion":"1.0.0","ipam":{"type":"../x"}})", CniCode::kInternal,
       "is not a plain name"},
  };
  for (const Case& each : table) {
    SCOPED_TRACE(each.message);
    Variables variables = Complete("ADD");
    variables[each.variable] = each.value;
    const Outcome2 read = Read(variables, each.config);
    ASSERT_FALSE(read.request);
    EXPECT_EQ(static_cast<unsigned>(read.failure.code), static_cast<unsigned>(each.code));
    EXPECT_THAT(read.failure.msg, HasSubstr(each.message));
  }
}

// What no ADD takes has made nothing that DEL would need to know.
TEST(CniRequest, DelWorksWithWhatCanBeRead) {
  for (const char* keys : {R"("prevResult":{"ips":[{"address":"x"}]})", R"("prevResult":"x")",
                           R"("prevResult":{"cniVersion":"9.9.9"})", R"("ipam":"x")",
                           R"("ipam":{"type":"../x"})", R"("ipam":{"type":5})"}) {
    SCOPED_TRACE(keys);
    const std::string config = StrCat(R"({"name":"n","cniVersion":"1.0.0",)", keys, "}");
    EXPECT_FALSE(Read(Complete("ADD"), config).request);
    const Outcome2 read = Read(Complete("DEL"), config);
    ASSERT_TRUE(read.request);
    EXPECT_EQ(read.request->ipam_type, "");
    EXPECT_FALSE(read.request->prev_result);
  }
}

TEST(CniRequest, ReadsCniArgs) {
  EXPECT_EQ(*CniArg("", "IP"), "");
  EXPECT_EQ(*CniArg("IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.1.0.5", "IP"), "10.1.0.5");
  EXPECT_EQ(*CniArg("IP=10.1.0.5", "IP"), "10.1.0.5");
  EXPECT_FAILS(CniArg("A=1", "IP"), Code::kInvalidArgument, "ARGS: unknown args [\"A=1\"]");
  EXPECT_FAILS(CniArg("IP", "IP"), Code::kInvalidArgument, "ARGS: invalid pair \"IP\"");
  EXPECT_FAILS(CniArg("IgnoreUnknown=maybe", "IP"), Code::kInvalidArgument,
               "ARGS: IgnoreUnknown: \"maybe\" is not 1 or 0");
  EXPECT_FAILS(CniArg("IP=a=b", "IP"), Code::kInvalidArgument, "ARGS: invalid pair");
}

TEST(CniRequest, ErrorsBecomeTheSpecsCodes) {
  EXPECT_EQ(ToFailure(Error(Code::kUnimplemented, "x")).code, CniCode::kUnsupportedField);
  EXPECT_EQ(ToFailure(Error(Code::kUnavailable, "x")).code, CniCode::kTryAgainLater);
  EXPECT_EQ(ToFailure(Error(Code::kNotFound, "x")).code, CniCode::kInternal);
  EXPECT_THAT(
      FormatFailure({CniCode::kInvalidConfig, "m\xff", "d"}, "1.0.0"),
      ::testing::AllOf(HasSubstr("\"code\": 7"), HasSubstr("\"msg\": \"m?\""),
                       HasSubstr("\"details\": \"d\""), HasSubstr("\"cniVersion\": \"1.0.0\"")));
  EXPECT_THAT(FormatVersions(),
              HasSubstr(R"("supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"])"));
}

}  // namespace
}  // namespace berth::cni
