// SPDX-License-Identifier: Apache-2.0
#include "oci/cdi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/strings.h"
#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

using testing::ElementsAre;

constexpr const char* kYaml = R"(# a vendor's file
cdiVersion: "0.7.0"
kind: acme.com/gpu
containerEdits:
  env: [ACME_VERSION=1]
  hooks:
    - {hookName: createContainer, path: /usr/bin/acme-hook, args: [acme-hook, "--go"], timeout: 5}
devices:
  - name: gpu0
    containerEdits:
      env:
        - ACME_GPU=0
      deviceNodes:
        - path: /dev/acme0
          hostPath: /dev/null
          type: c
          major: 1
          minor: 3
          fileMode: 0660
          permissions: rw
      mounts:
        - hostPath: /usr/lib/acme
          containerPath: /usr/lib/acme
          options: [ro, nosuid]
      intelRdt: {closID: acme, l3CacheSchema: "L3:0=f", enableCMT: true}
      additionalGids: [0, 44, 44]
  - name: "1"
    containerEdits:
      env: [ACME_GPU=1]
)";

std::string Json(std::string_view device, std::string_view version = "0.6.0") {
  return StrCat(R"({"cdiVersion":")", version,
                R"(","kind":"acme.com/gpu","devices":[{"name":"gpu0","containerEdits":)", device,
                "}]}");
}

TEST(Cdi, AYamlFileIsReadWhole) {
  Result<CdiSpec> spec = ParseCdiSpec(kYaml, true);
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->kind, "acme.com/gpu");
  ASSERT_EQ(spec->devices.size(), 2U);
  const CdiEdits& edits = spec->devices.at("gpu0");
  ASSERT_EQ(edits.device_nodes.size(), 1U);
  EXPECT_EQ(edits.device_nodes[0].node.file_mode, 0660U);
  EXPECT_TRUE(edits.device_nodes[0].has_type);
  EXPECT_THAT(edits.mounts[0].options, ElementsAre("rbind", "ro", "nosuid"));
  EXPECT_EQ(spec->edits.hooks.at("createContainer")[0].timeout_s, 5);
  EXPECT_EQ(edits.intel_rdt->clos_id, "acme");
}

TEST(Cdi, EditsChangeASpecAndComeBackFromItsJson) {
  std::vector<CdiEdits> all =
      *SelectCdiDevices({{"/etc/cdi/a.yaml", 0, kYaml, ""}},
                        {"acme.com/gpu=gpu0", "acme.com/gpu=gpu0", "acme.com/gpu=1"});
  ASSERT_EQ(all.size(), 3U) << "the spec's own edits once, each device once";
  Spec spec;
  spec.process.env = {"PATH=/bin", "ACME_GPU=none"};
  spec.process.user.uid = 1000;
  spec.process.user.gid = 1001;
  spec.mounts = {{.destination = "/usr/lib/acme",
                  .type = "tmpfs",
                  .source = "x",
                  .options = {},
                  .uid_mappings = {},
                  .gid_mappings = {}}};
  for (const CdiEdits& edits : all) ASSERT_TRUE(ApplyCdiEdits(edits, &spec));
  EXPECT_THAT(spec.process.env, ElementsAre("PATH=/bin", "ACME_GPU=1", "ACME_VERSION=1"));
  ASSERT_EQ(spec.linux.devices.size(), 1U);
  EXPECT_EQ(spec.linux.devices[0].path, "/dev/acme0");
  EXPECT_EQ(spec.linux.devices[0].uid, 1000U);
  EXPECT_EQ(spec.linux.devices[0].gid, 1001U);
  ASSERT_EQ(spec.linux.resources.devices.size(), 1U);
  EXPECT_EQ(spec.linux.resources.devices[0].access, "rw");
  ASSERT_EQ(spec.mounts.size(), 1U);
  EXPECT_EQ(spec.mounts[0].source, "/usr/lib/acme");
  EXPECT_THAT(spec.process.user.additional_gids, ElementsAre(44));
  EXPECT_EQ(spec.hooks.at("createContainer").size(), 1U);
}

TEST(Cdi, ALaterDirectoryHidesAnEarlierOne) {
  std::string first = Json(R"({"env":["A=1"]})"), second = Json(R"({"env":["A=2"]})");
  CdiFile low{"/etc/cdi/a.json", 0, first, ""}, high{"/run/cdi/a.json", 1, second, ""};
  for (const auto& files : {std::vector{low, high}, std::vector{high, low}}) {
    std::vector<CdiEdits> edits = *SelectCdiDevices(files, {"acme.com/gpu=gpu0"});
    EXPECT_EQ(edits.back().env[0].second, "2");
  }
  CdiFile rival{"/etc/cdi/b.json", 0, second, ""};
  EXPECT_FAILS(SelectCdiDevices({low, rival}, {"acme.com/gpu=gpu0"}), Code::kInvalidArgument,
               "CDI device \"acme.com/gpu=gpu0\": is in both /etc/cdi/a.json and /etc/cdi/b.json");
  EXPECT_TRUE(SelectCdiDevices({low, rival, high}, {"acme.com/gpu=gpu0"}));
}

TEST(Cdi, AnUnknownDeviceNamesTheFilesThatCouldNotBeRead) {
  CdiFile good{"/etc/cdi/a.json", 0, Json(R"({"env":["A=1"]})"), ""};
  CdiFile bad{"/etc/cdi/bad.yaml", 0, "kind: [", ""};
  CdiFile gone{"/etc/cdi/gone.json", 0, "", "Permission denied"};
  EXPECT_TRUE(SelectCdiDevices({good, bad, gone}, {"acme.com/gpu=gpu0"}));
  auto none = SelectCdiDevices({good, bad, gone}, {"acme.com/gpu=gpu9"});
  EXPECT_FAILS(none, Code::kInvalidArgument, "CDI device \"acme.com/gpu=gpu9\": no such device");
  EXPECT_FAILS(none, Code::kInvalidArgument, "/etc/cdi/bad.yaml: document: line");
  EXPECT_FAILS(none, Code::kInvalidArgument, "/etc/cdi/gone.json: Permission denied");
}

TEST(Cdi, NamesAndAnnotations) {
  for (const char* bad :
       {"", "gpu0", "acme.com/gpu", "acme.com/gpu=", "acme.com=gpu0", "/gpu=a", "1acme/gpu=a",
        "acme.com/gpu=a=b", "acme.com/g/pu=a", "acme.com/gpu=../a"}) {
    EXPECT_FAILS(ParseCdiName(bad), Code::kInvalidArgument, "is not vendor/class=name");
  }
  EXPECT_THAT(*CdiNamesOf({{"cdi.k8s.io/x", "a.com/b=c,a.com/b=d"}, {"other", "e"}}),
              ElementsAre("a.com/b=c", "a.com/b=d"));
  EXPECT_FAILS(CdiNamesOf({{"cdi.k8s.io/x", "a.com/b=c,"}}), Code::kInvalidArgument,
               "annotation \"cdi.k8s.io/x\": CDI device \"\"");
}

TEST(Cdi, WhatIsNotAllowedIsNamed) {
  auto refused = [](const std::string& text, std::string_view fragment) {
    EXPECT_FAILS(ParseCdiSpec(text, false), Code::kInvalidArgument, std::string(fragment));
  };
  refused("{", "document");
  refused("[]", "not an object");
  refused(R"({"kind":"a/b","devices":[]})", "cdiVersion: missing");
  refused(Json("{}", "0.2.0"), "version \"0.2.0\" is none of 0.3.0 to 1.1.0");
  refused(R"({"cdiVersion":"0.6.0","kind":"a","devices":[]})", "\"a\" is not vendor/class");
  refused(R"({"cdiVersion":"0.6.0","kind":"a/b","devices":[]})", "devices: no device");
  refused(R"({"cdiVersion":"0.6.0","kind":"a/b","devices":[],"more":1})",
          "unknown member \"more\"");
  refused(Json(R"({"envs":[]})"), "unknown member \"envs\"");
  refused(Json(R"({"env":["=x"]})"), "is not NAME=value");
  refused(Json(R"({"deviceNodes":[{"path":"dev/x"}]})"), "path: not an absolute path");
  refused(Json(R"({"deviceNodes":[{"path":"/dev/x","type":"q"}]})"), "type \"q\" is none of");
  refused(Json(R"({"deviceNodes":[{"path":"/dev/x","permissions":"z"}]})"), "are not of \"rwm\"");
  refused(Json(R"({"hooks":[{"hookName":"x","path":"/x"}]})"), "hookName \"x\" is unknown");
  refused(Json(R"({"mounts":[{"hostPath":"x","containerPath":"/y"}]})"), "not an absolute path");
  refused(Json(R"({"intelRdt":{"closID":"a"}})"), "needs cdiVersion 0.7.0");
  refused(Json(R"({"intelRdt":{"closID":"../a"}})", "0.7.0"), "is not a plain name");
  refused(Json(R"({"additionalGids":[1]})"), "needs cdiVersion 0.7.0");
  refused(Json(R"({"mounts":[{"hostPath":"/x","containerPath":"/y","type":"bind"}]})", "0.3.0"),
          "needs cdiVersion 0.4.0");
  refused(Json(R"({"netDevices":[]})", "1.1.0"), "netDevices are not supported");
  EXPECT_FAILS(ApplyCdiEdits({.env = {},
                              .device_nodes = {},
                              .mounts = {{.destination = "/..",
                                          .type = "bind",
                                          .source = "/x",
                                          .options = {},
                                          .uid_mappings = {},
                                          .gid_mappings = {}}},
                              .hooks = {},
                              .intel_rdt = {},
                              .additional_gids = {}},
                             std::make_unique<Spec>().get()),
               Code::kInvalidArgument, "over the root file system");
}

TEST(Cdi, YamlIsOnlyWhatJsonCanSay) {
  auto refused = [](const std::string& text, std::string_view fragment) {
    EXPECT_FAILS(ParseCdiSpec(text, true), Code::kInvalidArgument, std::string(fragment));
  };
  refused("", "line 1: expected a document");
  refused("a: &x 1\nb: *x\n", "anchors are not supported");
  refused("a: !!int 1\n", "tags are not supported");
  refused("a: 1\na: 2\n", "key \"a\" twice");
  refused("---\na: 1\n---\nb: 2\n", "expected a single document");
  refused("{[a]: 1}\n", "a key is not a text");
  refused("a: [1, 2\n", "line");
  refused(std::string(100, '['), "nested too deeply");
  refused(std::string(kMaxCdiFileBytes + 1, ' '), "longer than");
}

}  // namespace
}  // namespace berth::oci
