// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"
#include "oci/cni.h"
#include "oci/json_internal.h"
#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

constexpr std::string_view kList =
    R"({"cniVersion":"1.1.0","cniVersions":["0.4.0","1.0.0"],"name":"pods.net-1",
  "disableCheck":true,"plugins":[
    {"type":"bridge","bridge":"cni0","big":9007199254740993,"ipam":{"type":"host-local","subnet":"10.1.0.0/16"}},
    {"type":"portmap","capabilities":{"portMappings":true,"bandwidth":false}}]})";

TEST(CniVersionTest, KnowsAndOrdersVersions) {
  EXPECT_EQ(SupportedCniVersions().size(), 5u);
  EXPECT_TRUE(IsSupportedCniVersion("0.3.0"));
  EXPECT_FALSE(IsSupportedCniVersion("0.2.0"));
  EXPECT_FALSE(IsSupportedCniVersion("1.1"));
  EXPECT_GT(CompareCniVersions("1.0.0", "0.4.0"), 0);
  EXPECT_EQ(CompareCniVersions("1.0.0", "1.0.0"), 0);
  EXPECT_LT(CompareCniVersions("9.9.9", "0.3.0"), 0);
}

TEST(CniConfigTest, ReadsAList) {
  auto list = ParseNetworkConfig(kList);
  ASSERT_TRUE(list) << list.error().message();
  EXPECT_EQ(list->name, "pods.net-1");
  EXPECT_EQ(list->cni_version, "1.1.0");
  EXPECT_TRUE(list->disable_check);
  EXPECT_FALSE(list->disable_gc);
  EXPECT_FALSE(list->load_only_inlined);
  EXPECT_EQ(list->raw, kList);
  ASSERT_EQ(list->plugins.size(), 2u);
  EXPECT_EQ(list->plugins[0].type, "bridge");
  EXPECT_EQ(list->plugins[0].ipam_type, "host-local");
  EXPECT_THAT(list->plugins[0].raw, testing::HasSubstr("9007199254740993"));
  EXPECT_TRUE(list->plugins[1].capabilities.at("portMappings"));
  EXPECT_FALSE(list->plugins[1].capabilities.at("bandwidth"));
}

TEST(CniConfigTest, ReadsASinglePluginAsAListOfOne) {
  auto list =
      ParseNetworkConfig(R"({"cniVersion":"0.3.1","name":"lo","type":"loopback","ipam":{}})");
  ASSERT_TRUE(list) << list.error().message();
  EXPECT_EQ(list->name, "lo");
  EXPECT_EQ(list->cni_version, "0.3.1");
  ASSERT_EQ(list->plugins.size(), 1u);
  EXPECT_EQ(list->plugins[0].type, "loopback");
  EXPECT_EQ(list->plugins[0].ipam_type, "");
}

TEST(CniConfigTest, TakesTheNewestVersionItSupports) {
  struct Case {
    const char* versions;
    const char* chosen;
  };
  const Case table[] = {
      {R"("cniVersion":"0.3.0")", "0.3.0"},
      {R"("cniVersion":"0.4.0","cniVersions":["0.3.1","1.1.0","1.2.0"])", "1.1.0"},
      {R"("cniVersions":["1.0.0","0.4.0"])", "1.0.0"},
      {R"("cniVersion":"2.0.0","cniVersions":["0.4.0"])", "0.4.0"},
      {R"("cniVersion":"1.0.0","disableCheck":"FALSE","disableGC":"true")", "1.0.0"},
  };
  for (const Case& c : table) {
    SCOPED_TRACE(c.versions);
    auto list =
        ParseNetworkConfig(StrCat("{", c.versions, R"(,"name":"n","plugins":[{"type":"p"}]})"));
    ASSERT_TRUE(list) << list.error().message();
    EXPECT_EQ(list->cni_version, c.chosen);
  }
  for (const char* versions :
       {R"("cniVersion":"0.2.0")", R"("cniVersion":"")", R"("cniVersions":[])"}) {
    EXPECT_FAILS(
        ParseNetworkConfig(StrCat("{", versions, R"(,"name":"n","plugins":[{"type":"p"}]})")),
        Code::kFailedPrecondition, "cni config: cniVersion: no supported version");
  }
}

TEST(CniConfigTest, ErrorsNameTheField) {
  struct Patch {
    const char* pointer;
    Json value;
    const char* fragment;
  };
  const Patch table[] = {
      {"/name", nullptr, "cni config: name: is null"},
      {"/name", "../x", "name: \"../x\" is not a network name"},
      {"/name", ".x", "is not a network name"},
      {"/name", "", "is not a network name"},
      {"/name", std::string(256, 'a'), "is not a network name"},
      {"/cniVersion", 1, "cniVersion: not a string"},
      {"/cniVersions", "1.0.0", "cniVersions: not an array"},
      {"/disableCheck", 1, "disableCheck: not true or false"},
      {"/disableGC", "yes", "disableGC: not true or false"},
      {"/plugins", nullptr, "plugins: is null"},
      {"/plugins", Json::array(), "plugins: empty"},
      {"/plugins", std::vector<int>(65, 1), "plugins: more than 64"},
      {"/plugins/0", 1, "plugins[0]: not an object"},
      {"/plugins/0/type", nullptr, "plugins[0].type: is null"},
      {"/plugins/0/type", "../../../sbin/reboot",
       "plugins[0].type: \"../../../sbin/reboot\" is not"},
      {"/plugins/0/type", "..", "plugins[0].type: \"..\" is not a plugin name"},
      {"/plugins/0/type", ".", "is not a plugin name"},
      {"/plugins/0/type", "", "is not a plugin name"},
      {"/plugins/0/type", "a b", "is not a plugin name"},
      {"/plugins/0/type", "a\\b", "is not a plugin name"},
      {"/plugins/0/ipam", "x", "plugins[0].ipam: not an object"},
      {"/plugins/0/ipam/type", "x/y", "plugins[0].ipam.type: \"x/y\" is not a plugin name"},
      {"/plugins/1/capabilities", {1}, "plugins[1].capabilities: not an object"},
      {"/plugins/1/capabilities/portMappings", "true", "portMappings: not true or false"},
  };
  for (const Patch& patch : table) {
    SCOPED_TRACE(patch.pointer);
    Json json = Json::parse(kList);
    json[Json::json_pointer(patch.pointer)] = patch.value;
    EXPECT_FAILS(ParseNetworkConfig(json.dump()), Code::kInvalidArgument, patch.fragment);
  }
  EXPECT_FAILS(ParseNetworkConfig(""), Code::kInvalidArgument, "cni config: document: empty");
  EXPECT_FAILS(ParseNetworkConfig("[]"), Code::kInvalidArgument, "not an object");
  EXPECT_FAILS(ParseNetworkConfig(R"({"cniVersion":"1.0.0","name":"n"})"), Code::kInvalidArgument,
               "plugins: missing");
  EXPECT_FAILS(ParseNetworkConfig(std::string(kMaxCniConfigBytes + 1, ' ')), Code::kInvalidArgument,
               "larger than 1048576");
  EXPECT_FAILS(ParseCniPlugin(R"({"type":"a/b"})"), Code::kInvalidArgument,
               "cni plugin config: type: \"a/b\" is not a plugin name");
}

RuntimeConfig FullRuntime() {
  RuntimeConfig runtime;
  runtime.port_mappings = {{8080, 80, "tcp", "127.0.0.1"}, {0, 81, "tcp", ""}, {53, 53, "udp", ""}};
  runtime.bandwidth = Bandwidth{1, 2, 3, 4};
  runtime.dns = CniDns{{"10.0.0.10"}, "", {"svc.local"}, {"ndots:5"}};
  runtime.ips = {"10.1.2.3/16"};
  runtime.mac = "02:00:00:00:00:01";
  runtime.cgroup_path = "/kubepods/pod1";
  runtime.pod_annotations = {{"a", "b"}};
  return runtime;
}

TEST(PluginInputTest, AddsNameAndVersionAndKeepsUnknownFields) {
  CniPlugin plugin = ParseNetworkConfig(kList)->plugins[0];
  Json input = Json::parse(*BuildPluginInput(plugin, {.name = "net", .cni_version = "1.0.0"}));
  EXPECT_EQ(input,
            Json::parse(R"({"cniVersion":"1.0.0","name":"net","type":"bridge","bridge":"cni0",
    "big":9007199254740993,"ipam":{"type":"host-local","subnet":"10.1.0.0/16"}})"));
}

TEST(PluginInputTest, PassesOnlyDeclaredCapabilities) {
  RuntimeConfig runtime = FullRuntime();
  PluginInput with{.name = "net", .cni_version = "1.0.0", .runtime = &runtime};
  auto list = *ParseNetworkConfig(kList);
  EXPECT_FALSE(Json::parse(*BuildPluginInput(list.plugins[0], with)).contains("runtimeConfig"));
  Json input = Json::parse(*BuildPluginInput(list.plugins[1], with));
  EXPECT_EQ(input["runtimeConfig"], Json::parse(R"({"portMappings":[
    {"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"},
    {"hostPort":53,"containerPort":53,"protocol":"udp"}]})"));

  CniPlugin all =
      *ParseCniPlugin(R"({"type":"x","capabilities":{"portMappings":true,"bandwidth":true,
    "dns":true,"ips":true,"mac":true,"cgroupPath":true,"io.kubernetes.cri.pod-annotations":true,"new":true}})");
  input = Json::parse(*BuildPluginInput(all, with));
  input["runtimeConfig"].erase("portMappings");
  EXPECT_EQ(input["runtimeConfig"], Json::parse(R"({
    "bandwidth":{"ingressRate":1,"ingressBurst":2,"egressRate":3,"egressBurst":4},
    "dns":{"servers":["10.0.0.10"],"searches":["svc.local"],"options":["ndots:5"]},
    "ips":["10.1.2.3/16"],"mac":"02:00:00:00:00:01","cgroupPath":"/kubepods/pod1",
    "io.kubernetes.cri.pod-annotations":{"a":"b"}})"));
  RuntimeConfig nothing;
  with.runtime = &nothing;
  EXPECT_FALSE(Json::parse(*BuildPluginInput(all, with)).contains("runtimeConfig"));
}

TEST(PluginInputTest, OnlyTheRuntimeWritesReservedKeys) {
  CniPlugin plugin = *ParseCniPlugin(
      R"({"type":"x","prevResult":{"ips":[]},"cni.dev/a":1,"cni.dev/valid-attachments":[{}],"name":"fake"})");
  PluginInput bare{.name = "net", .cni_version = "1.1.0"};
  EXPECT_EQ(Json::parse(*BuildPluginInput(plugin, bare)),
            Json::parse(R"({"type":"x","name":"net","cniVersion":"1.1.0"})"));

  bare.prev_result = R"({"cniVersion":"1.1.0","extra":1})";
  bare.valid_attachments = {CniAttachment{"c1", "eth0"}};
  Json input = Json::parse(*BuildPluginInput(plugin, bare));
  EXPECT_EQ(input["prevResult"]["extra"], 1);
  Json valid = Json::parse(R"([{"containerID":"c1","ifname":"eth0"}])");
  EXPECT_EQ(input["cni.dev/valid-attachments"], valid);
  EXPECT_EQ(input["cni.dev/attachments"], valid);
  bare.valid_attachments.emplace();
  EXPECT_EQ(Json::parse(*BuildPluginInput(plugin, bare))["cni.dev/valid-attachments"],
            Json::array());
}

TEST(PluginInputTest, RefusesBadPartsWithTheirName) {
  CniPlugin plugin = *ParseCniPlugin(R"({"type":"x","capabilities":{"mac":true}})");
  PluginInput input{.name = "net", .cni_version = "1.1.0"};
  input.prev_result = "[]";
  EXPECT_FAILS(BuildPluginInput(plugin, input), Code::kInvalidArgument,
               "cni plugin x: prevResult: not an object");
  input.prev_result = "{";
  EXPECT_FAILS(BuildPluginInput(plugin, input), Code::kInvalidArgument,
               "prevResult: not valid JSON");
  input.prev_result.reset();
  RuntimeConfig runtime{.mac = "\xff"};
  input.runtime = &runtime;
  EXPECT_FAILS(BuildPluginInput(plugin, input), Code::kInvalidArgument,
               "input: a string is not valid UTF-8");
  plugin.raw = "7";
  EXPECT_FAILS(BuildPluginInput(plugin, input), Code::kInvalidArgument, "config: not an object");
}

}  // namespace
}  // namespace berth::oci
