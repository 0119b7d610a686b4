// SPDX-License-Identifier: Apache-2.0
// The programs that crun is given: what they do is tried on a kernel in tests/integration/test_security.py.
#include "runtime/seccomp_programs.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstring>
#include <thread>

#include "base/base64.h"
#include "base/strings.h"
#include "oci/build_spec.h"
#include "oci/seccomp.h"
#include "oci/spec_json.h"
#include "oci/testing/sample_plans.h"

namespace berth::runtime {
namespace {

oci::Seccomp Small() {
  oci::Seccomp filter;
  filter.default_action = "SCMP_ACT_ERRNO";
  filter.default_errno_ret = 38;
  filter.architectures = {"SCMP_ARCH_X86_64"};
  filter.syscalls = {{{"read", "write"}, "SCMP_ACT_ALLOW", {}, {}}};
  return filter;
}

std::vector<uint32_t> ReturnsOf(const std::string& program) {
  std::vector<uint32_t> values;
  for (size_t i = 0; i + sizeof(sock_filter) <= program.size(); i += sizeof(sock_filter)) {
    sock_filter instruction{};
    std::memcpy(&instruction, program.data() + i, sizeof instruction);
    if (instruction.code == (BPF_RET | BPF_K)) values.push_back(instruction.k);
  }
  return values;
}

TEST(CompileSeccomp, ReturnsTheActionsOfTheRulesAndTheDefault) {
  oci::Seccomp filter = Small();
  filter.syscalls.push_back({{"mount"}, "SCMP_ACT_ERRNO", 1, {}});
  auto program = CompileSeccomp(filter);
  ASSERT_TRUE(program) << program.error().message();
  ASSERT_EQ(program->size() % sizeof(sock_filter), 0U);
  const std::vector<uint32_t> returns = ReturnsOf(*program);
  for (uint32_t wanted :
       {uint32_t{SECCOMP_RET_ALLOW}, SECCOMP_RET_ERRNO | 38U, SECCOMP_RET_ERRNO | 1U})
    EXPECT_NE(std::find(returns.begin(), returns.end(), wanted), returns.end()) << wanted;
}

TEST(CompileSeccomp, PassesOverCallsThatNobodyKnowsAndRulesThatSayNothing) {
  oci::Seccomp filter = Small();
  const std::string program = *CompileSeccomp(filter);
  filter.syscalls[0].names.push_back("no_such_call");
  filter.syscalls.push_back({{"mount"}, "SCMP_ACT_ERRNO", 38, {}});
  EXPECT_EQ(*CompileSeccomp(filter), program);
}

// As runc and crun do: both conditions on one argument are as good as two rules.
TEST(CompileSeccomp, TwoConditionsOnOneArgumentAreTwoRules) {
  oci::Seccomp once = Small();
  once.syscalls = {{{"personality"},
                    "SCMP_ACT_ALLOW",
                    {},
                    {{0, 0, 0, "SCMP_CMP_EQ"}, {0, 8, 0, "SCMP_CMP_EQ"}}}};
  oci::Seccomp twice = Small();
  twice.syscalls = {{{"personality"}, "SCMP_ACT_ALLOW", {}, {{0, 0, 0, "SCMP_CMP_EQ"}}},
                    {{"personality"}, "SCMP_ACT_ALLOW", {}, {{0, 8, 0, "SCMP_CMP_EQ"}}}};
  EXPECT_EQ(*CompileSeccomp(once), *CompileSeccomp(twice));
}

TEST(CompileSeccomp, RefusesWhatIsNoFilter) {
  auto refused = [](oci::Seccomp filter, std::string_view why) {
    Result<std::string> program = CompileSeccomp(filter);
    ASSERT_FALSE(program);
    EXPECT_EQ(program.error().code(), Code::kInvalidArgument);
    EXPECT_NE(program.error().message().find(why), std::string::npos) << program.error().message();
  };
  oci::Seccomp filter = Small();
  filter.default_action = "SCMP_ACT_NOTIFY";
  filter.default_errno_ret.reset();
  refused(filter, "action \"SCMP_ACT_NOTIFY\"");
  filter = Small();
  filter.architectures = {"SCMP_ARCH_PDP11"};
  refused(filter, "architecture");
  filter = Small();
  filter.syscalls[0].errno_ret = 1;
  refused(filter, "errno of SCMP_ACT_ALLOW");
  filter = Small();
  filter.syscalls[0].args = {{6, 0, 0, "SCMP_CMP_EQ"}};
  refused(filter, "argument");
  filter.syscalls[0].args = {{0, 0, 0, "SCMP_CMP_ODD"}};
  refused(filter, "operator \"SCMP_CMP_ODD\"");
}

TEST(SeccompPrograms, CompilesEachOnceAndKeepsTheLatestUsed) {
  SeccompPrograms programs;
  const auto first = *programs.Get(Small());
  EXPECT_EQ(*programs.Get(Small()), first);
  EXPECT_EQ(*first, Base64Encode(*CompileSeccomp(Small())));
  oci::Seccomp other = Small();
  for (uint32_t i = 1; i < 16; ++i) {
    other.default_errno_ret = i;
    EXPECT_NE(**programs.Get(other), *first);
    EXPECT_EQ(*programs.Get(Small()), first);  // used in between: it stays
  }
  other.default_errno_ret = 100;
  EXPECT_TRUE(programs.Get(other));
  EXPECT_EQ(*programs.Get(Small()), first);
  other.default_errno_ret = 1;  // the one that was not used for longest
  const auto again = *programs.Get(other);
  EXPECT_EQ(*again, Base64Encode(*CompileSeccomp(other)));
}

TEST(SeccompPrograms, AreTakenOutOfABundlesSpecAgain) {
  oci::Spec spec = *oci::BuildSpec(oci::testing::OrdinaryPlan());
  const std::string before = *oci::ToJson(spec);
  EXPECT_EQ(WithoutSeccompProgram(before), before);
  spec.annotations[kSeccompProgramAnnotation] = "AAAA";
  EXPECT_EQ(WithoutSeccompProgram(*oci::ToJson(spec)), before);
  EXPECT_EQ(WithoutSeccompProgram("run.oci.seccomp_bpf_data"), "run.oci.seccomp_bpf_data");
}

TEST(SeccompPrograms, TheDefaultProfileIsWithinTheKernelsLimit) {
  oci::CapabilityMask none;
  auto program = CompileSeccomp(oci::RuntimeDefaultSeccomp(none, oci::Arch::kAmd64));
  ASSERT_TRUE(program) << program.error().message();
  EXPECT_LE(program->size() / sizeof(sock_filter), size_t{BPF_MAXINSNS});
}

}  // namespace
}  // namespace berth::runtime
