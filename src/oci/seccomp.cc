// SPDX-License-Identifier: Apache-2.0
#include "oci/seccomp.h"

#include <array>
#include <set>
#include <utility>

#include "base/strings.h"

namespace berth::oci {

namespace {

constexpr std::string_view kAllow = "SCMP_ACT_ALLOW";
constexpr std::string_view kErrno = "SCMP_ACT_ERRNO";
constexpr uint32_t kEperm = 1;
constexpr uint32_t kEnosys = 38;

SeccompRule AllowRule(std::vector<std::string> names, std::vector<SeccompArg> args = {}) {
  return {std::move(names), std::string(kAllow), std::nullopt, std::move(args)};
}

SeccompRule EpermRule(std::vector<std::string> names, std::vector<SeccompArg> args = {}) {
  return {std::move(names), std::string(kErrno), kEperm, std::move(args)};
}

// True when (argument & mask) == value.
SeccompArg Masked(uint32_t index, uint64_t mask, uint64_t value) {
  return {.index = index, .value = mask, .value_two = value, .op = "SCMP_CMP_MASKED_EQ"};
}

// The kernel looks at the lower half of an int argument only, a filter sees 64 bits: without the
// mask socket(0x100000026, ...) would be AF_ALG for the kernel and an unknown large number for a
// range comparison.
constexpr uint64_t kLow32 = 0xffffffff;

// Families 0 to 47 but AF_ALG (38: kernel crypto with a history of holes) and AF_VSOCK (40: reaches
// the host or the hypervisor past every network policy), as disjoint blocks, since libseccomp
// cannot say "but". 32-bit programs can still get at them by socketcall(2), whose arguments are in
// memory; Go's linux/386 needs that call.
void AddSocketRules(std::vector<SeccompRule>& rules) {
  struct Block {
    uint64_t first, size;  // size: a power of two that divides first
  };
  static constexpr std::array<Block, 7> kAllowed = {
      {{0, 32}, {32, 4}, {36, 2}, {39, 1}, {41, 1}, {42, 2}, {44, 4}}};
  for (const Block& block : kAllowed) {
    rules.push_back(AllowRule({"socket"}, {Masked(0, kLow32 & ~(block.size - 1), block.first)}));
  }
  for (uint64_t family : {38, 40}) {
    rules.push_back(EpermRule({"socket"}, {Masked(0, kLow32, family)}));
  }
}

// PER_LINUX, UNAME26, PER_LINUX32, both, and 0xffffffff, which only asks. personality(2)
void AddPersonalityRules(std::vector<SeccompRule>& rules) {
  for (uint64_t persona :
       {uint64_t{0}, uint64_t{8}, uint64_t{0x20000}, uint64_t{0x20008}, kLow32}) {
    rules.push_back(AllowRule({"personality"}, {Masked(0, kLow32, persona)}));
  }
}

// clone(2) without CLONE_NEW*: each of the seven namespace flags is EPERM, none of them is allowed.
// The flags are argument 0 on every architecture that Berth supports.
void AddCloneRules(std::vector<SeccompRule>& rules) {
  static constexpr std::array<uint64_t, 7> kNamespaceFlags = {0x00020000,   // CLONE_NEWNS
                                                              0x02000000,   // CLONE_NEWCGROUP
                                                              0x04000000,   // CLONE_NEWUTS
                                                              0x08000000,   // CLONE_NEWIPC
                                                              0x10000000,   // CLONE_NEWUSER
                                                              0x20000000,   // CLONE_NEWPID
                                                              0x40000000};  // CLONE_NEWNET
  uint64_t all = 0;
  for (uint64_t flag : kNamespaceFlags) all |= flag;
  rules.push_back(AllowRule({"clone"}, {Masked(0, all, 0)}));
  for (uint64_t flag : kNamespaceFlags) {
    rules.push_back(EpermRule({"clone"}, {Masked(0, flag, flag)}));
  }
}

std::vector<std::string> Architectures(Arch arch) {
  switch (arch) {
    case Arch::kAmd64:
      // No x32: distributions' kernels refuse it, and its table would cost every container start
      // some 10 ms.
      return {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
    case Arch::kArm64:
      return {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
    case Arch::kOther:
      break;
  }
  return {};
}

}  // namespace

Seccomp RuntimeDefaultSeccomp(CapabilityMask bounding, Arch arch) {
  std::vector<std::string> always = internal::AlwaysAllowedCalls(arch);
  std::set<std::string> allowed(always.begin(), always.end());
  std::vector<std::string> never = internal::NeverAllowedCalls();
  std::set<std::string> refused(never.begin(), never.end());
  for (const auto& [capability, calls] : internal::CapabilityCalls()) {
    std::set<std::string>& list = bounding.Has(capability) ? allowed : refused;
    for (std::string_view call : Split(calls, ' ')) list.emplace(call);
  }
  // Under two capabilities, of which one is held.
  for (const std::string& call : allowed) refused.erase(call);
  bool may_unshare = allowed.contains("clone");
  refused.erase("clone");   // has rules of its own
  refused.erase("clone3");  // ENOSYS, so that the C library falls back to clone

  Seccomp profile;
  profile.default_action = kErrno;
  profile.default_errno_ret = kEnosys;
  profile.architectures = Architectures(arch);
  profile.syscalls.push_back(AllowRule({allowed.begin(), allowed.end()}));
  profile.syscalls.push_back(EpermRule({refused.begin(), refused.end()}));
  AddSocketRules(profile.syscalls);
  AddPersonalityRules(profile.syscalls);
  if (!may_unshare) AddCloneRules(profile.syscalls);
  return profile;
}

}  // namespace berth::oci
