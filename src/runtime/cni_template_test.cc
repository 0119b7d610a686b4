// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::runtime {
namespace {

using testing::HasSubstr;

constexpr const char* kTemplate =
    R"({"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "ptp",
 "ipam": {"type": "host-local", "subnet": "{{.PodCIDR}}",
 "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}],
 "routes": [{{ range $i, $r := .Routes }}{{if $i}}, {{end}}{"dst": "{{$r}}"}{{end}}]}}]})";

TEST(CniTemplate, FillsWhatContainerdsTemplatesUse) {
  std::string two = *FillCniTemplate(kTemplate, {"10.1.0.0/24", "fd00::/64"});
  EXPECT_THAT(two, HasSubstr(R"("subnet": "10.1.0.0/24",)"));
  EXPECT_THAT(two,
              HasSubstr(R"("ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]])"));
  EXPECT_THAT(two, HasSubstr(R"("routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}])"));
  EXPECT_THAT(*FillCniTemplate(kTemplate, {"10.1.0.0/24"}),
              HasSubstr(R"("routes": [{"dst": "0.0.0.0/0"}])"));
  EXPECT_EQ(*FillCniTemplate("plain", {"10.1.0.0/24"}), "plain");
}

TEST(CniTemplate, AnythingElseIsAnError) {
  for (const auto& [text, part] : std::vector<std::pair<const char*, const char*>>{
           {"{{.Other}}", "{{.Other}} is not supported here"},
           {"{{.PodCIDR", "\"{{\" without \"}}\""},
           {"{{end}}", "\"end\" of nothing"},
           {"{{range $i, $r := .Routes}}x", "\"end\" is missing"},
           {"{{range .Routes}}{{end}}", "is not supported"},
           {"{{range $i, $r := .Names}}{{end}}", "there is no list .Names"},
           {"{{if $i}}{{end}}", "is not supported here"}}) {
    Result<std::string> filled = FillCniTemplate(text, {"10.1.0.0/24"});
    ASSERT_FALSE(filled) << text;
    EXPECT_EQ(filled.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(filled.error().message(), HasSubstr(part));
  }
}

TEST(CniTemplate, CidrsAreChecked) {
  EXPECT_EQ(ParsePodCidrs("10.1.0.0/24, fd00::/64")->size(), 2U);
  for (const char* bad : {"", "10.1.0.0", "10.1.0.0/33", "10.1.0/24", "fd00::/129", "x/1",
                          "10.1.0.0/24,", "10.1.0.0/24\"", "10.1.0.0/-1"}) {
    Result<std::vector<std::string>> parsed = ParsePodCidrs(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_THAT(parsed.error().message(), HasSubstr("is not a CIDR"));
  }
}

TEST(CniTemplate, TheFileIsWrittenWhenTheCidrChanges) {
  os::TempDir temp = *os::TempDir::Make();
  ASSERT_TRUE(temp.dir().WriteFile("template", kTemplate, 0644));
  CniTemplate made(temp.path() + "/template", temp.path() + "/net.d");
  auto content = [&] {
    return temp.dir().ReadFile("net.d/10-berth-net.conflist", 1 << 16).value_or("");
  };
  ASSERT_TRUE(made.SetPodCidr(""));
  EXPECT_EQ(content(), "");
  ASSERT_TRUE(made.SetPodCidr("10.1.0.0/24"));
  EXPECT_THAT(content(), HasSubstr("10.1.0.0/24"));
  ASSERT_TRUE(made.SetPodCidr("10.2.0.0/24"));
  std::string second = content();
  EXPECT_THAT(second, HasSubstr("10.2.0.0/24"));
  // Nothing wrong is ever written.
  Result<> bad = made.SetPodCidr("10.3.0.0");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code(), Code::kInvalidArgument);
  ASSERT_TRUE(temp.dir().WriteFile("template", "{\"name\": ", 0644));
  bad = made.SetPodCidr("10.3.0.0/24");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(bad.error().message(), HasSubstr(temp.path() + "/template"));
  EXPECT_EQ(content(), second);
}

}  // namespace
}  // namespace berth::runtime
