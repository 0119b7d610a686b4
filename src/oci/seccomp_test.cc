// SPDX-License-Identifier: Apache-2.0
#include "oci/seccomp.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>

#include "base/strings.h"
#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

constexpr Code kInvalid = Code::kInvalidArgument;

CapabilityMask Caps(const std::vector<std::string>& names) {
  return *CapabilityMask::FromNames(names, "test");
}

// The action of a rule without arguments for `call`: "ALLOW", "EPERM", or "default".
std::string ActionOf(const Seccomp& profile, const std::string& call) {
  for (const SeccompRule& rule : profile.syscalls) {
    bool named = std::find(rule.names.begin(), rule.names.end(), call) != rule.names.end();
    if (named && rule.args.empty()) return rule.action == "SCMP_ACT_ALLOW" ? "ALLOW" : "EPERM";
  }
  return "default";
}

bool HasRule(const Seccomp& profile, const char* call, uint64_t argument, const char* action) {
  return std::any_of(profile.syscalls.begin(), profile.syscalls.end(), [&](const SeccompRule& r) {
    return r.names == std::vector<std::string>{call} && r.action == action &&
           (argument & r.args[0].value) == r.args[0].value_two;
  });
}

TEST(RuntimeDefaultTest, CallsFollowTheBoundingSet) {
  struct Case {
    const char* capability;
    const char* call;
  };
  const std::vector<Case> cases = {{"SYS_ADMIN", "mount"},   {"SYS_ADMIN", "unshare"},
                                   {"SYS_CHROOT", "chroot"}, {"BPF", "bpf"},
                                   {"SYS_ADMIN", "bpf"},     {"SYS_TIME", "clock_settime"},
                                   {"SYSLOG", "syslog"},     {"SYS_BOOT", "reboot"}};
  for (const Case& c : cases) {
    EXPECT_EQ(ActionOf(RuntimeDefaultSeccomp(Caps({}), Arch::kAmd64), c.call), "EPERM") << c.call;
    EXPECT_EQ(ActionOf(RuntimeDefaultSeccomp(Caps({c.capability}), Arch::kAmd64), c.call), "ALLOW")
        << c.call;
  }
}

TEST(RuntimeDefaultTest, UnknownCallsAndClone3AreEnosys) {
  Seccomp profile = RuntimeDefaultSeccomp(Caps({"CHOWN"}), Arch::kAmd64);
  EXPECT_EQ(profile.default_action, "SCMP_ACT_ERRNO");
  EXPECT_EQ(profile.default_errno_ret, 38u);
  EXPECT_EQ(ActionOf(profile, "clone3"), "default");
  EXPECT_EQ(ActionOf(profile, "io_uring_setup"), "EPERM");
}

TEST(RuntimeDefaultTest, BlocksAlgAndVsockWhateverTheUpperHalfSays) {
  Seccomp profile = RuntimeDefaultSeccomp(Caps({}), Arch::kAmd64);
  for (uint64_t family = 0; family < 48; ++family) {
    bool blocked = family == 38 || family == 40;
    for (uint64_t upper : {uint64_t{0}, uint64_t{1} << 32}) {
      EXPECT_EQ(HasRule(profile, "socket", family | upper, "SCMP_ACT_ALLOW"), !blocked) << family;
      EXPECT_EQ(HasRule(profile, "socket", family | upper, "SCMP_ACT_ERRNO"), blocked) << family;
    }
  }
}

TEST(RuntimeDefaultTest, CloneIsAllowedOnlyWithoutNamespaceFlags) {
  Seccomp profile = RuntimeDefaultSeccomp(Caps({}), Arch::kArm64);
  EXPECT_TRUE(HasRule(profile, "clone", 0x01200011, "SCMP_ACT_ALLOW"));
  EXPECT_FALSE(HasRule(profile, "clone", 0x10000011, "SCMP_ACT_ALLOW"));
  EXPECT_TRUE(HasRule(profile, "clone", 0x10000011, "SCMP_ACT_ERRNO"));
  Seccomp admin = RuntimeDefaultSeccomp(Caps({"SYS_ADMIN"}), Arch::kArm64);
  EXPECT_EQ(ActionOf(admin, "clone"), "ALLOW");
  EXPECT_EQ(ActionOf(admin, "clone3"), "ALLOW");
}

TEST(RuntimeDefaultTest, NoCallIsBothAllowedAndRefused) {
  const std::vector<std::vector<std::string>> sets = {{}, {"BPF"}, {"SYS_ADMIN", "SYS_PTRACE"}};
  for (const auto& caps : sets) {
    Seccomp profile = RuntimeDefaultSeccomp(Caps(caps), Arch::kAmd64);
    std::set<std::string> seen;
    for (const SeccompRule& rule : profile.syscalls) {
      if (!rule.args.empty()) continue;
      for (const std::string& name : rule.names) EXPECT_TRUE(seen.insert(name).second) << name;
    }
  }
}

// Every call of this machine's headers has been decided on; a new one makes this fail until it is.
TEST(RuntimeDefaultTest, DecidesOnEveryCallOfTheKernelHeaders) {
  const char* path = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path, "re"), fclose);
  if (file == nullptr) GTEST_SKIP() << path << " is not there";
  std::set<std::string> known = {// Rules with arguments, or ENOSYS on purpose.
                                 "clone", "clone3", "socket", "personality",
                                 // Gone from the kernel, never in it, or obsolete: ENOSYS.
                                 "uselib", "ustat", "sysfs", "_sysctl", "create_module",
                                 "get_kernel_syms", "query_module", "nfsservctl", "getpmsg",
                                 "putpmsg", "afs_syscall", "tuxcall", "security", "vserver"};
  for (const std::string& call : internal::AlwaysAllowedCalls(Arch::kAmd64)) known.insert(call);
  for (const std::string& call : internal::NeverAllowedCalls()) known.insert(call);
  for (const auto& group : internal::CapabilityCalls()) {
    for (std::string_view call : Split(group.calls, ' ')) known.emplace(call);
  }
  char line[256];
  int calls = 0;
  while (fgets(line, sizeof line, file.get()) != nullptr) {
    char name[128];
    if (sscanf(line, "#define __NR_%127s", name) != 1) continue;
    ++calls;
    EXPECT_TRUE(known.contains(name)) << name;
  }
  EXPECT_GT(calls, 300);
}

TEST(SeccompProfileTest, ReadsTheRuntimeSpecsForm) {
  const char* text = R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,
    "architectures":["SCMP_ARCH_X86_64"],"flags":["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
      {"name":"personality","action":"SCMP_ACT_ALLOW","comment":"x",
       "args":[{"index":0,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]})";
  Seccomp profile = *ParseSeccompProfile(text, Caps({}), Arch::kAmd64);
  ASSERT_EQ(profile.syscalls.size(), 2u);
  EXPECT_EQ(profile.syscalls[1].names[0], "personality");
  EXPECT_EQ(profile.syscalls[1].args[0].value, ~uint64_t{0});
  EXPECT_EQ(profile.default_errno_ret, 1u);
}

TEST(SeccompProfileTest, AppliesDockersConditions) {
  const char* text = R"({"defaultAction":"SCMP_ACT_ERRNO",
    "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
               {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],
    "syscalls":[
      {"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"]}},
      {"names":["b"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_BPF"]}},
      {"names":["c"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64"]}},
      {"names":["d"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}}]})";
  auto calls = [&](const std::vector<std::string>& caps, Arch arch) {
    std::string out;
    Seccomp profile = *ParseSeccompProfile(text, Caps(caps), arch);
    for (const SeccompRule& rule : profile.syscalls) out += rule.names[0];
    return out + " " + profile.architectures[1];
  };
  EXPECT_EQ(calls({"BPF"}, Arch::kAmd64), "ad SCMP_ARCH_X86");
  EXPECT_EQ(calls({}, Arch::kArm64), "bcd SCMP_ARCH_ARM");
}

TEST(SeccompProfileTest, RefusesWhatItDoesNotUnderstand) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"not json", "seccomp profile"},
      {"[]", "not an object"},
      {"{}", "defaultAction: missing"},
      {R"({"defaultAction":"SCMP_ACT_MAYBE"})", "unknown value \"SCMP_ACT_MAYBE\""},
      {R"({"defaultAction":"SCMP_ACT_NOTIFY"})", "unknown value"},
      {R"({"defaultAction":"SCMP_ACT_KILL","architectures":["Z80"]})", "architectures[0]"},
      {R"({"defaultAction":"SCMP_ACT_KILL","listenerPath":"/x"})", "listenerPath"},
      {R"({"defaultAction":"SCMP_ACT_KILL","syscalls":[{"action":"SCMP_ACT_ALLOW"}]})",
       "names no system call"},
      {R"({"defaultAction":"SCMP_ACT_KILL","syscalls":[{"names":["a"],"action":"x"}]})",
       "syscalls[0].action"},
      {R"({"defaultAction":"SCMP_ACT_KILL","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW",
         "args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]})",
       "syscalls[0].args[0].index"},
      {R"({"defaultAction":"SCMP_ACT_KILL","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW",
         "includes":{"moon":1}}]})",
       "unknown condition"},
      {R"({"defaultAction":"SCMP_ACT_KILL","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW",
         "includes":{"minKernel":"7.0"}}]})",
       "cannot be told apart"}};
  for (const auto& [text, fragment] : cases) {
    EXPECT_FAILS(ParseSeccompProfile(text, Caps({}), Arch::kAmd64), kInvalid, fragment);
  }
}

TEST(SeccompProfileTest, LocalhostPathsAreAbsoluteAndClean) {
  EXPECT_TRUE(CheckLocalhostSeccompPath("/var/lib/kubelet/seccomp/a.json").has_value());
  for (const char* path : {"", "a.json", "/a/../b"}) {
    EXPECT_FAILS(CheckLocalhostSeccompPath(path), kInvalid, "localhost seccomp profile");
  }
}

}  // namespace
}  // namespace berth::oci
