// SPDX-License-Identifier: Apache-2.0
#include "oci/spec_json.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "oci/build_spec.h"
#include "oci/testing/expect_error.h"
#include "oci/testing/sample_plans.h"

namespace berth::oci {
namespace {

struct Golden {
  const char* name;
  ContainerPlan (*plan)();
};

class SpecGoldenTest : public ::testing::TestWithParam<Golden> {};

std::string ReadWhole(const std::string& path) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "re"), fclose);
  std::string out;
  if (file == nullptr) return out;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, file.get())) > 0;) out.append(buffer, n);
  return out;
}

void WriteWhole(const std::string& path, const std::string& text) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "we"), fclose);
  ASSERT_NE(file, nullptr) << path;
  ASSERT_EQ(fwrite(text.data(), 1, text.size(), file.get()), text.size());
}

// UPDATE_GOLDEN=1 writes the files anew: look at the difference before committing it.
TEST_P(SpecGoldenTest, MatchesTheFile) {
  auto spec = BuildSpec(GetParam().plan());
  ASSERT_TRUE(spec.has_value()) << spec.error().message();
  std::string text = nlohmann::json::parse(*ToJson(*spec)).dump(2) + "\n";
  std::string path =
      std::string(BERTH_SOURCE_DIR "/tests/golden/spec/") + GetParam().name + ".json";
  if (getenv("UPDATE_GOLDEN") != nullptr) WriteWhole(path, text);
  EXPECT_EQ(ReadWhole(path), text) << "UPDATE_GOLDEN=1 accepts the new text";
}

TEST_P(SpecGoldenTest, ReadsBackWhatItWrote) {
  Spec spec = *BuildSpec(GetParam().plan());
  auto again = ParseSpec(*ToJson(spec));
  ASSERT_TRUE(again.has_value()) << again.error().message();
  EXPECT_TRUE(*again == spec);
}

INSTANTIATE_TEST_SUITE_P(Plans, SpecGoldenTest,
                         ::testing::Values(Golden{"ordinary", testing::OrdinaryPlan},
                                           Golden{"privileged", testing::PrivilegedPlan},
                                           Golden{"host_namespaces", testing::HostNamespacesPlan},
                                           Golden{"read_only", testing::ReadOnlyPlan},
                                           Golden{"user_namespace", testing::UserNamespacePlan}),
                         [](const auto& golden) { return std::string(golden.param.name); });

TEST(SpecJsonTest, ExecProcessHasEmptyCapabilityListsNotAbsentOnes) {
  Spec spec = *BuildSpec(testing::OrdinaryPlan());
  std::string text = *ProcessToJson(*BuildExecProcess(spec, {"true"}, false));
  EXPECT_THAT(text, ::testing::HasSubstr(R"("ambient":[])"));
  EXPECT_THAT(text, ::testing::HasSubstr(R"("inheritable":[])"));
  EXPECT_THAT(text, ::testing::HasSubstr(R"("args":["true"])"));
}

TEST(SpecJsonTest, UpdateOfNothingIsAnEmptyObject) {
  EXPECT_EQ(*ResourcesToJson({}), "{}");
  PlanResources plan;
  plan.cpu_shares = 512;
  EXPECT_EQ(*ResourcesToJson(*BuildResources(plan, true)), R"({"cpu":{"shares":512}})");
}

TEST(SpecJsonTest, RefusesTextThatIsNotUtf8) {
  Spec spec = *BuildSpec(testing::OrdinaryPlan());
  spec.process.args = {"\xff"};
  EXPECT_FAILS(ToJson(spec), Code::kInvalidArgument, "runtime spec");
}

TEST(SpecJsonTest, ParseNamesThePlace) {
  constexpr Code kInvalid = Code::kInvalidArgument;
  EXPECT_FAILS(ParseSpec("{"), kInvalid, "runtime spec");
  EXPECT_FAILS(ParseSpec(R"({"process":{"user":{"uid":-1}}})"), kInvalid, "process.user.uid");
  EXPECT_FAILS(ParseSpec(R"({"process":{"user":{"uid":4294967296}}})"), kInvalid, "uid");
  EXPECT_FAILS(ParseSpec(R"({"mounts":[{"destination":1}]})"), kInvalid, "mounts[0].destination");
  EXPECT_FAILS(ParseSpec(R"({"process":{"rlimits":[{"soft":1.5}]}})"), kInvalid, "rlimits[0].soft");
  EXPECT_FAILS(ParseSpec(std::string(kMaxSpecBytes + 1, ' ')), kInvalid, "runtime spec");
}

}  // namespace
}  // namespace berth::oci
